"""Tests of nanonet.interchange."""
