"""Starting a run: ``init``, ``login``, ``setup``, and the modules that decide which run a process writes."""
