"""``Run`` and what it is made of: history, config, summary, files, artifacts."""
