"""What is deployed: the CDK app, the ``EdgeGateway`` construct, and the builder of the functions' bundles."""
