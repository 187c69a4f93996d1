"""Garbage collection: what nobody names any more, and which versions may go."""
