"""Models and kernels of learning theory."""
