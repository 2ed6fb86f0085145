"""Studies of pruning: their catalogue, how they run, the statistics and the verdicts.

Importing this package loads nothing else, so that `catalogue` and `statistics` stay free of torch.
"""
