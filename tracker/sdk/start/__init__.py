"""Beginning: ``init``, ``login``, ``setup``, and everything that decides which run a process writes."""
