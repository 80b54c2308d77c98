"""Points, rates, the formula, and simulated speckle."""
