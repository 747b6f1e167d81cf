"""Tests of README.md, docs/ and the exercises."""
