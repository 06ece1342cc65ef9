"""The edge function's log lines, from CloudWatch in every region or from the local system."""
