"""The same servers and settings as containers."""
