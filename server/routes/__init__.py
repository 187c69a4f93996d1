"""Routes. Each one parses the request, asks the store once, and answers."""
