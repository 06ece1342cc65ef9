"""Lambda's side of the edge function: execution environments, the Runtime API, the role's credentials."""
