"""Where log records go, and what they look like there."""
