"""From data and settings to a result."""
