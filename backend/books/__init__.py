"""The example's books: a small REST API on DynamoDB, whose owners are the identities that the gateway verified.

Read `handler.py` first. `validation.py`, `cursor.py` and `problems.py` are pure; `store.py` knows the table's keys and
conditions; `dynamodb.py` speaks DynamoDB's protocol with nothing but the standard library.
"""
