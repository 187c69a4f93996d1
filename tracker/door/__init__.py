"""Support for scripts with ``import wandb``: wandb's module paths and the objects of tracker behind them."""
