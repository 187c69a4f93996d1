"""Callbacks and patches for other libraries, under the paths that wandb has them: ``wandb.integration.*``.

Each module imports its library, and nothing here imports the modules: only who uses a library has it loaded.
"""
