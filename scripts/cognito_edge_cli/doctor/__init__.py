"""Look at a running system, and say what is wrong with it."""
