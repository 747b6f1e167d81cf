"""Layers that have parameters of their own, one family to a file."""
