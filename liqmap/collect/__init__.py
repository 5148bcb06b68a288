"""Collect: make sure that the trades of a window are in the store."""
