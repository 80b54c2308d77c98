"""What people who come from homodyne call: the formula without inference."""
