"""Store: segments of trades on disk, written once and read by prefix."""
