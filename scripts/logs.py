#!/usr/bin/env python3
"""Show what the edge function logged, in all regions: by request, user, code or time, live; or one request's story."""

from _environment import start

if __name__ == "__main__":
    start("logs")
