"""Exceptions of the package. The native core raises the same classes."""

from __future__ import annotations


class IonMorphNetError(Exception):
    """Base class of the errors that the package raises on purpose."""


class FileError(IonMorphNetError, OSError):
    """A file cannot be used; the message is ``<file>: <cause>``."""


class ArgumentError(IonMorphNetError, ValueError):
    """An argument has the wrong type or is out of range; the message says what is accepted."""


class UnavailableError(IonMorphNetError):
    """A capability is missing from this build, this installation or this machine."""


class Cancelled(IonMorphNetError):  # noqa: N818 - a state, not a fault
    """The work was stopped on request. No half-written file is left."""
