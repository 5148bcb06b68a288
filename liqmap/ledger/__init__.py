"""The ledger: what the map said, what came, and how that compares with chance."""
