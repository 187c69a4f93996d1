"""The door for scripts that say ``import wandb``: the module paths there are, and what stands behind them."""
