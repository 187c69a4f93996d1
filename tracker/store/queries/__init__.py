"""Questions to the store. Each answers with typed, frozen records."""
