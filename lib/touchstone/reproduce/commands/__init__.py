"""The commands of ``touchstone``, one subject a file; ``cli`` gathers them."""
