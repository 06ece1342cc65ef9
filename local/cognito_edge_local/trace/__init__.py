"""The trace: what happened to each request, put together without secrets and shown on a page."""
