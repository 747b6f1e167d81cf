"""Tests of nanonet as a whole: against PyTorch, over long runs, in other processes and through the examples."""
