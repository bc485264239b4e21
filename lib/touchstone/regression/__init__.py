"""Regression problems, their losses and derivatives."""
