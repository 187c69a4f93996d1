"""Charts, such as ``run.log({"key": plot.line(table, "x", "y")})``.

``__init__.pyi`` lists them. Each function is imported at its first use.
"""

from tracker.ground.lazy_import import attach

__getattr__, __all__ = attach(__name__, __file__)
