"""Tests of nanonet.losses."""
