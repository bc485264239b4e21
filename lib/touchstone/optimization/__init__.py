"""Iterations that minimise: Newton's method and gradient descent."""
