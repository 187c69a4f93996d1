"""Download an artifact's files from a server: plan the requests, store partial files, name complete ones."""
