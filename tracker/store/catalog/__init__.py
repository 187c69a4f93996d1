"""The catalog: its tables, its file, the lease on it, and history rows that are not in a Parquet part yet."""
