"""Waiting for a condition, in place of a sleep."""

import time


def wait_until(condition: object, seconds: float = 5) -> bool:
    """Wait for *condition()* to become true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False
