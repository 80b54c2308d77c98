"""Measured two-time maps, and the files they come from."""
