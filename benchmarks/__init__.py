"""The gateway's real bundle, side by side with what people use today: ``python -m benchmarks --help``."""
