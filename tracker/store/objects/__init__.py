"""Files by key: how they are written, named, copied, described and checked."""
