"""Convex bodies and their ellipsoids."""
