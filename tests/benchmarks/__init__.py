"""Benchmarks: how long nanonet takes beside what people would use instead. Run ``python -m tests.benchmarks``."""
