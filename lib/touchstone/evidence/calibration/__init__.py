"""The rules themselves under test: how often each accuses the innocent, and how surely it catches the guilty."""
