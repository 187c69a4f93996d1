"""Published files, which describe runs, versions, aliases and deleted runs without the catalog."""
