"""CloudFront as its documentation has it: behaviors, forwarding, the edge event, and what may come back."""
