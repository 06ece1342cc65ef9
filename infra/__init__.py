"""What is deployed: the construct (``cognito_edge_cdk``), the example that uses it, and the commands that deploy."""
