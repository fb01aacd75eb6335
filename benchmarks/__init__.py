"""Benchmarks beside peers; run as ``python -m benchmarks``."""
