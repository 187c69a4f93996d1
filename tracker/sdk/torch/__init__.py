"""``watch`` and the profiler, which read data from torch models while they run."""
