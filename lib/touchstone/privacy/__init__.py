"""Differentially private releases and the noise they add."""
