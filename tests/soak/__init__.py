"""A soak: many subscriptions, a clock that runs fast, kills and faults; run by `make soak`."""
