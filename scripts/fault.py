#!/usr/bin/env python3
"""Break something of the running local system on purpose: keys, SSM, policy, credentials, clock; and mend it again."""

from _environment import start

if __name__ == "__main__":
    start("fault")
