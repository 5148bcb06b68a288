"""The command line: `liqmap BTCUSDT 6h top_n 100` and its subcommands."""
