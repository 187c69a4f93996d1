"""The ``Run`` class and its parts: history, config, summary, files, artifacts."""
