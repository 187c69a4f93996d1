"""One file per catalog revision."""
