"""Reading what was logged: ``Api``."""
