"""Scripts run against the real wandb client and against tracker; what each recorded is compared."""
