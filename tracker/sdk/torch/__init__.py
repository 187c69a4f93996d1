"""``watch`` and the profiler: what is read from torch models while they run."""
