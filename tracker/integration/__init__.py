"""Callbacks and patches for other libraries, under wandb's paths: ``wandb.integration.*``.

Each module imports its library. This package imports none of the modules, so that only a program that uses
an integration loads its library.
"""
