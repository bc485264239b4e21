"""Random linear maps and samplings that keep what matters of a matrix."""
