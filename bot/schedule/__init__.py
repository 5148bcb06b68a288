"""Schedule: posts and alerts that come by the clock."""
