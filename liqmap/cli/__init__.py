"""The command line: `liqmap BTCUSDT 6h top_n 100`, and subcommands such as `liqmap record`."""
