"""The version, in a file that anything may import."""

__version__ = "0.2.0"
