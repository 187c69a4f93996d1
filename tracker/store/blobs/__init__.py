"""Content: blobs by SHA-256, packs of small ones, drafts on their way to them, manifests that list them."""
