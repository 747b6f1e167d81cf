"""Tests of nanonet.checking."""
