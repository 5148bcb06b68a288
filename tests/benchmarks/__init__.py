"""Benchmarks: `make bench` runs them and prints a table. They measure, they do not pass or fail."""
