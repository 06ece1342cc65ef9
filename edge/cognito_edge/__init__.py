"""The edge function: verifies a Cognito token, decides, signs the request for a Lambda function URL.

A request walks down ``handler.py`` -> ``gateway.py`` and opens every other module once, in the order in which
``gateway.py`` calls them. Pure modules judge; ``fetch.py``, ``aws.py`` and ``refreshing.py`` are the only ones that
wait for anything.
"""
