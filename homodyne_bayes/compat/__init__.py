"""homodyne 2.x by its own names: what it computes without fitting."""
