"""What fits many times."""
