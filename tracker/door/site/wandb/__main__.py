"""``python -m wandb``: the command line."""

from tracker.cli.main import main

main()
