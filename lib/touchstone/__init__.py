"""Touchstone: theorems of machine learning, tested by running them."""
