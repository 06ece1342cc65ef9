"""The whole gateway on one machine: AWS played by the book, around the real edge function and the deployed template."""
