"""From what a person typed to what is drawn, and when."""
