"""Opening and rebuilding a lost catalog, private copies, verification of a store, replay of sealed runs."""
