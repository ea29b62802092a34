"""Models and clips opened by their paths, for every evaluation task."""
