"""Data types that scripts can log in addition to plain values, under wandb's names.

``__init__.pyi`` lists them. Each type is imported at its first use.
"""

from tracker.ground.lazy_import import attach

__getattr__, __all__ = attach(__name__, __file__)
