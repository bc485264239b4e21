"""Data read once, and the space that an algorithm keeps."""
