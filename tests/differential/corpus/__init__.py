"""The scripts, by area; each function is one, written as a user would, with ``wandb`` as the only name."""
