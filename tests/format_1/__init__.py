"""A checkpoint in the first format, and what wrote it."""
