"""Runs: what to compute (`spec`), where it is kept (`store`), who computes it (`worker`), who starts and stops that
process (`supervisor`), and what a reader knows of it (`view`).

A run is a directory. One worker process writes it, everybody else only reads.
"""
