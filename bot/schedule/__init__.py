"""Posts and alerts by the clock."""
