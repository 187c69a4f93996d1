"""The rows of runs: as Arrow columns, in Parquet parts and in the overview ladder; and reading them."""
