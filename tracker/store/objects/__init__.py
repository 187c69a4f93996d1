"""Files of a store: atomic writes, names on disk, copies, digests and checksums."""
