"""Benchmarks of tracker. Each figure is compared with a lower bound or a peer; see README.md."""
