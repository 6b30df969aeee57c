"""The outside world's clients, each named once, thin."""
