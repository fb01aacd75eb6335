"""Slow numpy specification of each native stage; the native code is tested against it."""
