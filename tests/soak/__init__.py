"""A soak: many subscriptions, a clock that runs fast, kills, stops and faults; run by `make soak`."""
