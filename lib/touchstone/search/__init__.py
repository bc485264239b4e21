"""Search structures and those who attack them."""
