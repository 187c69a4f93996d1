"""Differential tests: scripts run with the real wandb client and with tracker; the records must be equal."""
