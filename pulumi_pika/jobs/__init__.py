"""Jobs: a command that runs in an instance once, and what it brings home."""
