"""Who calls the server: users, keys, passwords and signed-in browsers."""
