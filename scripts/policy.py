#!/usr/bin/env python3
"""Read, check, try and change the gateway's policy: who may do what, and which tokens are out."""

from _environment import start

if __name__ == "__main__":
    start("policy")
