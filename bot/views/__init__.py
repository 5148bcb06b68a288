"""Views: replies, buttons and panels."""
