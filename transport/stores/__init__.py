"""Time-series stores behind one protocol."""
