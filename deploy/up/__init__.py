"""``teleward up``: the parts of a stack, started, watched and stopped together."""
