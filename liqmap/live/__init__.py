"""Live: the exchanges' streams into the store, as they happen."""
