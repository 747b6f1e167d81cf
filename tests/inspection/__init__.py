"""Tests of nanonet.inspection."""
