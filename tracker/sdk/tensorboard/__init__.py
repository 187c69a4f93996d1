"""``sync_tensorboard=True``: what a program writes for TensorBoard becomes the run's history."""
