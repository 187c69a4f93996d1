"""The command ``tracker``. Each file contains one group of commands."""
