"""Run: the one corridor from a request to its result."""
