"""Parties that exchange messages, counted in words and bits."""
