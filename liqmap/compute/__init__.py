"""Pure functions on arrays, from trades to levels, buckets and a map; no input, no output, no clock."""
