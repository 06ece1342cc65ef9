"""The edge function: verifies a Cognito token, decides, signs the request for a Lambda function URL.

A request walks down ``handler.py`` and ``gateway.py``, which calls one module for each step. Not all modules are functions
of their arguments:

- ``fetch.py``, ``credentials.py`` and ``refreshed_value.py`` use the network, threads, the environment or random bytes;
  ``key_source.py`` and ``parameter_source.py`` do so through them.
- ``handler.py`` reads the time and ``settings.json``.
- ``gateway.py``, ``key_store.py``, ``token_verifier.py`` and ``token_cache.py`` keep values between requests.
- ``log.py`` prints, and measures how long each step takes.

All others are functions of their arguments, apart from their memos.
"""
