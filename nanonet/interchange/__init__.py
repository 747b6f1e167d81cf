"""Interchange: how nanonet works with what others wrote, each an extra of its own."""
