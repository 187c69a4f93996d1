"""The records of each client in a normal form, in which values that vary between runs are replaced."""
