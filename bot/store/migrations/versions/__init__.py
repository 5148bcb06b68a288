"""One change in each file."""
