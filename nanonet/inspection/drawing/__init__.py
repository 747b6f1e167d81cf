"""inspection/drawing."""
