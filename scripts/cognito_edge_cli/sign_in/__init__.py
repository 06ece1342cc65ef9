"""Sign in at Cognito and print a token: browser, password, cache."""
