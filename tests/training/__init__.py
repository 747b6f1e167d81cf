"""Tests of nanonet.training."""
