"""The example's books: a small REST API on DynamoDB. A book belongs to the identity that the gateway verified.

Read ``handler.py`` first. ``validation.py``, ``cursor.py`` and ``problems.py`` do no I/O; ``store.py`` knows the table's keys
and conditions; ``dynamodb.py`` speaks DynamoDB's protocol with the standard library alone.
"""
