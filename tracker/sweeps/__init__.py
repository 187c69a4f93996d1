"""Sweeps: their configuration, their trials as files, and the choice of the next trial."""
