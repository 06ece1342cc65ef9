#!/usr/bin/env python3
"""Find out why a request was refused: walk its whole way, say what was expected, what is there, and what to do."""

from _environment import start

if __name__ == "__main__":
    start("doctor")
