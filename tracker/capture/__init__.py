"""Data that is captured without user code: system metrics, console output, facts about the run's start."""
