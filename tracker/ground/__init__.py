"""What everything stands on: records, values, names, settings, time, processes. Imports nothing above it."""
