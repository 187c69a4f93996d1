"""Routes: parse, ask the store once, answer."""
