"""Workers: the processes that jobs run in."""
