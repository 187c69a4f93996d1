"""Copying runs between stores: as records with the contents that these name.

A ``Source`` (``manifest.py``) has journals of segments, and contents. ``store_source.py`` makes one from a
store, ``bundle_file.py`` from a bundle. ``receive.py`` applies a source to a store.
"""
