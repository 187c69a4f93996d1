"""The store: catalog, Parquet history, blobs and published files. docs/store-layout.md describes it."""
