"""``python -m infra.bundle``: build the edge function's folder (contract C3 in docs/contracts.md)."""

import sys

from cognito_edge_cdk.bundling.command import main

if __name__ == "__main__":
    sys.exit(main())
