"""Runs: what to compute (`spec`), where it is stored (`store`), the process that computes it (`worker`), starting and
stopping that process (`supervisor`), and the state as read from the files (`view`).

A run is a directory. One worker process writes it; all others only read.
"""
