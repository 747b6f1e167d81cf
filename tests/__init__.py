"""What must be true of nanonet."""
