"""The example's protected function, and the one module that reads who is calling (`identity.py`)."""
