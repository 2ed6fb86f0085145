"""When to prune: after training at once, in rounds, while training, or before it.

A schedule is one function from a `Problem` and a sparsity to a pruned network, registered under its name in the
module of its family; `catalogue` describes all of them without loading torch. What is removed follows from the other
choices (criterion, granularity, scope, order), and every schedule reaches the exact sparsity. `controls.carry_out`
runs them.
"""
