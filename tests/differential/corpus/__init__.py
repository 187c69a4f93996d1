"""The scripts by area. Each function is one script, written as a user writes it, and uses only ``wandb``."""
