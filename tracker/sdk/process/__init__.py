"""Parts of a run that concern its process: journals, exit, signals, forks and ranks.

Modules here do not import ``Run``.
"""
