"""Studies of the simulated market, whose truth is known: tables for docs/design.md."""
