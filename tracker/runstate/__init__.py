"""Computation of a run's state from its records. It is pure: no files, databases or clocks."""
