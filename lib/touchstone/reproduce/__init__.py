"""Running the notebooks and keeping their results."""
