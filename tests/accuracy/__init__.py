"""Does the ledger find what is there, and nothing where nothing is? `make ledger-study` prints the tables."""
