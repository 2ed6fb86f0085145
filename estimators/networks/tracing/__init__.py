"""From the graph of a module to the groups of its units.

`export` gets the graph. `tracer` passes labels through it instead of numbers: every value of a layer's output carries
the number of its unit. Operations that only move values move the labels; where values are combined one by one, their
units belong together. `grouping` makes groups of the units that are found. A family of operations is a module each:
`layers`, `elementwise`, `shapes`, `reductions` and `attention`.
"""
