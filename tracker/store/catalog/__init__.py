"""The catalog: its tables, its file, who holds it, and its rows before they are Parquet."""
