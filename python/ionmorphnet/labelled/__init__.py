"""Labelled ion images: what training and evaluation read."""
