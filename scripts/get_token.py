#!/usr/bin/env python3
"""Sign a person in and print their token: ``curl -H "Authorization: Bearer $(python scripts/get_token.py --local)" …``."""

from _environment import start

if __name__ == "__main__":
    start("token")
