"""Exact counts of arithmetic, bytes and products, with data or from shapes alone."""
