"""Benchmarks next to other tools; run as ``python -m benchmarks``."""
