"""One file a format: how it is recognised, described and loaded."""
