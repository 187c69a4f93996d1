"""What changes a store: records applied, people's edits, deletions, and the sealing of what has ended."""
