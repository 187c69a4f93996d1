"""Changes to a store: applied records, people's edits, deletions, and the sealing of ended segments."""
