"""Networks: named tensors, a forward pass, and groups of units."""
