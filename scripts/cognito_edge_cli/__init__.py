"""The command ``cognito-edge``: what a person types, on a laptop or against a deployed gateway."""
