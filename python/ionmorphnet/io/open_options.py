"""The options of :func:`ionmorphnet.open`, for everything that opens a section by its path."""

from __future__ import annotations

from collections.abc import Iterable
from types import NoneType
from typing import TypedDict, cast, get_args

from ionmorphnet.base.arguments import integer
from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.base.paths import PathLike
from ionmorphnet.io.literals import Copies, Duplicates, Polarity, SpectrumType

__all__ = ["OpenOptions", "checked_open_options", "refuse_open_options"]

# Instruments stop at MS10 or so.
MOST_LEVELS = 20


class OpenOptions(TypedDict, total=False):
    """Keyword arguments of :func:`ionmorphnet.open`; those left out have its defaults."""

    ibd_path: PathLike | None
    strict: bool
    duplicates: Duplicates
    spectrum_type: SpectrumType | None
    repair: bool
    copies: Copies
    ms_level: int | None
    polarity: Polarity | None
    run: str | None


# Words that an option accepts; None as well where it stands for "as found".
_WORDS: dict[str, tuple[object, ...]] = {
    "duplicates": get_args(Duplicates),
    "copies": get_args(Copies),
    "spectrum_type": (*get_args(SpectrumType), None),
    "polarity": (*get_args(Polarity), None),
}


def refuse_open_options(opened: OpenOptions, reason: str) -> None:
    """Refuses options for something that they cannot change.

    Args:
        opened: What a function with ``**opened: Unpack[OpenOptions]`` received.
        reason: Why, and what to do instead.

    Raises:
        ArgumentError: There is an option.
    """
    if opened:
        raise ArgumentError(f"{', '.join(opened)}: {reason}")


def checked_open_options(opened: OpenOptions, *, function: str, paths: Iterable[object] = ()) -> OpenOptions:
    """Checks the options before any file is opened.

    Args:
        opened: What a function with ``**opened: Unpack[OpenOptions]`` received.
        function: Name of that function, for the error of an unknown argument.
        paths: The files that they are for; an ``ibd_path`` belongs to a single one.

    Returns:
        The same options.

    Raises:
        TypeError: ``open`` has no such option.
        ArgumentError: An option has an unknown value, or there is one ibd file for several files.
    """
    values = cast(dict[str, object], opened)
    for name in values:
        if name not in OpenOptions.__annotations__:
            raise TypeError(f"{function}() got an unexpected keyword argument '{name}'")
    for name, words in _WORDS.items():
        if name in values and values[name] not in words:
            listed = ", ".join(str(word) for word in words if word is not None)
            raise ArgumentError(f"{name} must be one of {listed}, not {values[name]!r}")
    if values.get("ms_level") is not None and integer("ms_level", values["ms_level"], 1) > MOST_LEVELS:
        raise ArgumentError(f"ms_level must be at most {MOST_LEVELS}, got {values['ms_level']}")
    if not isinstance(values.get("run"), (str, NoneType)):
        raise ArgumentError(f"run must be the name of a run, or None for all; not {values['run']!r}")
    n = len(list(paths))
    if values.get("ibd_path") is not None and n > 1:
        raise ArgumentError(f"one ibd file for {n} imzML files: pass --ibd (Python: ibd_path=) with a single file")
    return opened
