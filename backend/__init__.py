"""The example's protected functions, and ``identity.py``, which reads who is calling."""
