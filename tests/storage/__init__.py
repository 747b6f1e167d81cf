"""Tests of nanonet.storage and of saving and loading models."""
