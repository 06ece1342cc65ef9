#!/usr/bin/env python3
"""Put the static site into its bucket, with the right types and lifetimes and its ``config.json``; or take it away."""

from _environment import start

if __name__ == "__main__":
    start("site")
