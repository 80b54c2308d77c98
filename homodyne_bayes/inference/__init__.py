"""Sampling and certifying any NumPyro model."""
