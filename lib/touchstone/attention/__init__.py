"""Attention, exact and approximate."""
