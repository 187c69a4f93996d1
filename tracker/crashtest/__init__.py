"""``tracker doctor --crash-test``: proof on a user's own file system that what was logged survives kills."""
