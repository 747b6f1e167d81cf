"""Tests of nanonet.optimizers."""
