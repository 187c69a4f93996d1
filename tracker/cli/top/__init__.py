"""``tracker top``: runs, curves, system metrics, output and alerts on a terminal screen (package textual)."""
