"""What a run is in its process: journals, the end, signals, forks, ranks. Knows no ``Run``."""
