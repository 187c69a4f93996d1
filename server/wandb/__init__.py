"""The protocol of the wandb client: an operation becomes records of a segment, or a question to a reader."""
