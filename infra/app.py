"""The CDK app: ``python -m infra.app`` synthesises the example, and the CDK CLI runs it too (``cdk.json``)."""

import sys

from infra.example.synth import main

if __name__ == "__main__":
    sys.exit(main())
