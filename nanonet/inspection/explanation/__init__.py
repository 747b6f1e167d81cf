"""inspection/explanation."""
