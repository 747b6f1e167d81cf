"""Tests of nanonet.core: parameters, the vector, chains and what they own."""
