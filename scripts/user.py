#!/usr/bin/env python3
"""Manage the people who may sign in: create, list, groups, disable, enable, delete."""

from _environment import start

if __name__ == "__main__":
    start("user")
