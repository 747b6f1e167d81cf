"""The chain rule for one entry of a parameter, worked out line by line."""
