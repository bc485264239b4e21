"""Seeded inputs for notebooks and tests."""
