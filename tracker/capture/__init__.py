"""What is captured of a run without a line of code: the machine, the output, the facts of its start."""
