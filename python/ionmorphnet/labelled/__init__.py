"""Labelled ion images, as read by training and evaluation."""
