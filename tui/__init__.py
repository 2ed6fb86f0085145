"""The terminal side of prunelab: the command line and what it shows."""
