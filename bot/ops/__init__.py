"""What an operator reads and runs: health, metrics, logs, checks and backups."""
