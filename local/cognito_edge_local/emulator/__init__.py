"""The AWS emulator: its process, what is deployed to it, its sign-in pages, and faults on purpose."""
