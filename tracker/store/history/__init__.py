"""History: rows as columns, Parquet parts, the overview ladder, and reading them back."""
