"""One way to ask, three places to ask: a local store, a server, or the published files alone."""
