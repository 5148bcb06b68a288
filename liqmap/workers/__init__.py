"""The processes that jobs run in."""
