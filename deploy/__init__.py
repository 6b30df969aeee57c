"""The composition root: command line, stacks, demo."""
