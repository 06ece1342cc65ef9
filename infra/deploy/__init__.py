"""What deploys the example: the CDK CLI, npm, the page's build, the smoke test, and removal."""
