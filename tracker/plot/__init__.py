"""Charts: ``run.log({"key": plot.line(table, "x", "y")})``. Each is loaded when first used.

``__init__.pyi`` lists them.
"""

from tracker.ground.lazy_import import attach

__getattr__, __all__ = attach(__name__, __file__)
