"""Faust hosts the ward."""
