"""Content of the store: blobs named by SHA-256, packs of small contents, drafts and manifests."""
