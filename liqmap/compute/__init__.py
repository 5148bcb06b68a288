"""Compute: pure functions on arrays, from trades to levels, buckets and a map."""
