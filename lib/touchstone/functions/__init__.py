"""Entrywise functions and their polynomials."""
