"""Exact simulation of quantum query algorithms."""
