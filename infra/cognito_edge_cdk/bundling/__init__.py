"""A function's folder from sources and locked wheels: same inputs, same bytes."""
