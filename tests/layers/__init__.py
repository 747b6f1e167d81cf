"""Tests of nanonet.layers."""
