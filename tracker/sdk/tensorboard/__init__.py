"""``sync_tensorboard=True``: data that a program writes for TensorBoard becomes history of the run."""
