"""The lowest layer: records, values, names, settings, time, processes. It imports no layer above it."""
