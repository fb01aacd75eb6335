"""Faulty imzML files: clean simulated sections, faults that change them, and the judgement of what a pick makes of it.

:mod:`odd_files.faults` lists all faults; ``scripts/sweep_for_silence.py`` and the tests run them.
"""
