"""Files that describe themselves, beside the catalog: run files, versions, what is left of deleted runs."""
