"""The edge function: verifies a Cognito token, decides, signs the request for a Lambda function URL.

A request walks down ``handler.py`` and ``gateway.py``, which calls one module for each step. ``fetch.py``,
``key_source.py``, ``parameter_source.py``, ``credentials.py`` and ``refreshed_value.py`` are the only ones that wait for
anything or read the environment. All others are functions of their arguments.
"""
