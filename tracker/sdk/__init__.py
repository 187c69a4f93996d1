"""The wandb-compatible face: init, Run, config, summary."""
