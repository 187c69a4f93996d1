"""The command ``tracker``: one file per group of commands."""
