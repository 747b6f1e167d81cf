"""interchange/sklearn."""
