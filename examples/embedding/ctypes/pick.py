"""Picks a file through the C interface: pick.py LIBRARY FILE.imzML [ENGINE [TOP]].

It stands for any language that calls C. It does not import the package ionmorphnet.
"""

from __future__ import annotations

import ctypes
import json
import sys

Handle = ctypes.c_void_p
Progress = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
COL_MZ, COL_SCORE = 0, 3


class ScorerOptions(ctypes.Structure):
    """imn_scorer_options."""

    _fields_ = (
        ("struct_size", ctypes.c_uint32),
        ("threads", ctypes.c_int32),
        ("engine", ctypes.c_char_p),
        ("model", ctypes.c_char_p),
        ("precision", ctypes.c_char_p),
        ("engine_library", ctypes.c_char_p),
        ("custom", ctypes.c_void_p),
        ("no_cascade", ctypes.c_int32),
        ("reserved", ctypes.c_uint32),
    )


class PickOptions(ctypes.Structure):
    """imn_pick_options."""

    _fields_ = (
        ("struct_size", ctypes.c_uint32),
        ("threads", ctypes.c_int32),
        ("top", ctypes.c_int64),
        ("min_score", ctypes.POINTER(ctypes.c_double)),
        ("memory_limit", ctypes.c_int64),
        ("device_memory_limit", ctypes.c_int64),
        ("cancel", ctypes.c_void_p),
        ("user", ctypes.c_void_p),
        ("progress", Progress),
    )


class Library:
    """The functions that a pick needs; each failure is a RuntimeError with the library's message."""

    def __init__(self, path: str) -> None:
        """Loads the library by its full path."""
        self._native = ctypes.CDLL(path)
        self._native.imn_message.restype = ctypes.c_uint64

    def call(self, name: str, *arguments: object) -> None:
        """Calls a function that returns a status."""
        if getattr(self._native, name)(*arguments) != 0:
            message = ctypes.create_string_buffer(2048)
            self._native.imn_message(message, ctypes.c_uint64(len(message)))
            raise RuntimeError(message.value.decode())

    def make(self, name: str, *arguments: object) -> Handle:
        """Calls a function whose last argument receives a handle."""
        handle = Handle()
        self.call(name, *arguments, ctypes.byref(handle))
        return handle

    def free(self, name: str, handle: Handle) -> None:
        """Releases a handle."""
        getattr(self._native, name)(handle)


def main(path: str, section: str, engine: str | None = None, top: int = 0) -> None:
    """Prints m/z and score of each pick, then counts from the run record."""
    library = Library(path)
    context = library.make("imn_context_new", None)
    dataset = library.make("imn_dataset_open", context, section.encode(), None)
    wanted = ScorerOptions(ctypes.sizeof(ScorerOptions), engine=engine.encode() if engine else None, precision=b"f32")
    scorer = library.make("imn_scorer_new", context, ctypes.byref(wanted))
    options = PickOptions(ctypes.sizeof(PickOptions), top=top)
    options.progress = Progress(lambda user, done, total: 0)
    peaks = library.make("imn_pick", dataset, scorer, None, ctypes.byref(options))

    candidates, picked = ctypes.c_int64(), ctypes.c_int64()
    library.call("imn_peaks_count", peaks, ctypes.byref(candidates), ctypes.byref(picked))
    columns = []
    for column in (COL_MZ, COL_SCORE):
        values = (ctypes.c_double * candidates.value)()
        library.call("imn_peaks_column", peaks, ctypes.c_int32(column), values, candidates)
        columns.append(values)
    for mz, score in list(zip(*columns, strict=True))[: picked.value]:
        print(f"{mz!r},{score!r}")

    length = ctypes.c_uint64()
    library.call("imn_peaks_json", peaks, None, ctypes.c_uint64(0), ctypes.byref(length))
    text = ctypes.create_string_buffer(length.value)
    library.call("imn_peaks_json", peaks, text, length, None)
    print(json.loads(text.value)["counts"], file=sys.stderr)
    for name, handle in (("peaks", peaks), ("scorer", scorer), ("dataset", dataset), ("context", context)):
        library.free(f"imn_{name}_free", handle)


if __name__ == "__main__":
    main(*sys.argv[1:4], *(int(top) for top in sys.argv[4:5]))
