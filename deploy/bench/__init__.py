"""``teleward bench``: how long each hop takes, what a machine holds, and what others make of the same work."""
