"""Record the exchanges' live streams into the store."""
