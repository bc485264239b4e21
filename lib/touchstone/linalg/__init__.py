"""Linear algebra that the subjects share."""
