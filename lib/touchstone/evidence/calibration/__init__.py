"""The rules themselves under test: how often each accuses the innocent and misses the guilty."""
