"""The store: catalog, Parquet history, blobs and published files. See docs/store-layout.md."""
