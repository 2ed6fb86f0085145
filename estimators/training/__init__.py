"""The training loop, its events and optimisers, and checkpoints of it."""
