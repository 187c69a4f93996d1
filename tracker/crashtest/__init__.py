"""``tracker doctor --crash-test``: check on a user's file system that killed processes lose no data."""
