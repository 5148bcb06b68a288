"""Interaction: what every command and button shares, from retries to rights and errors."""
