"""Instances of hard problems and the reductions from them."""
