"""Exceptions of the package. The native core raises the same classes."""

from __future__ import annotations


class IonMorphNetError(Exception):
    """Base of everything the package raises on purpose."""


class FileError(IonMorphNetError):
    """A file cannot be used; the message is ``<file>: <cause>``."""


class ArgumentError(IonMorphNetError, ValueError):
    """An argument cannot be meant; the message says what is accepted."""


class UnavailableError(IonMorphNetError):
    """A capability is not in this build, not installed or not on this machine."""


class Cancelled(IonMorphNetError):  # noqa: N818 - a state, not a fault
    """The work was stopped on request; nothing half-written is left."""
