"""Tests of nanonet.models."""
