"""``python -m local``: the whole gateway on this machine, as ``make run`` starts it."""

import sys

from cognito_edge_local.command import main

if __name__ == "__main__":
    sys.exit(main())
