"""Commands, options, screen."""
