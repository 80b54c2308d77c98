"""What lies between g1 and the log density: contrast, offset and noise."""
