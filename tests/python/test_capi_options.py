"""Which spectra of a file the C interface picks, and with which normalisation: as in Python, record included."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ionmorphnet as imn
from imzml_factory import Spec, write_imzml
from library_build import library_build
from mixed_spectra import POLARITIES, WIDTH, both, write

NORMALIZE = ("none", "tic", "rms", "median")


class OpenOptions(ctypes.Structure):
    """imn_open_options."""

    _fields_ = (
        ("struct_size", ctypes.c_uint32),
        *((name, ctypes.c_int32) for name in ("io", "duplicates", "spectrum_type", "lenient", "repair", "choose", "z")),
        ("ibd_path", ctypes.c_char_p),
        ("max_pixels", ctypes.c_int64),
        ("run", ctypes.c_char_p),
        *((name, ctypes.c_int32) for name in ("ms_level", "polarity", "drop_copies", "region")),
    )


class ScorerOptions(ctypes.Structure):
    """The first fields of imn_scorer_options."""

    _fields_ = (("struct_size", ctypes.c_uint32), ("threads", ctypes.c_int32), ("engine", ctypes.c_char_p))


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
        ("progress", ctypes.c_void_p),
        ("normalize", ctypes.c_int32),
        ("reserved", ctypes.c_uint32),
    )


Picked = tuple[list[float], list[float], dict[str, Any]]


@pytest.fixture(scope="module")
def pick() -> Callable[..., Picked]:
    """m/z and scores of all candidates, ranked, and the run record."""
    native = ctypes.CDLL(str(library_build() / "libionmorphnet.so"))

    def call(name: str, *arguments: object) -> None:
        if getattr(native, name)(*arguments) != 0:
            message = ctypes.create_string_buffer(2048)
            native.imn_message(message, ctypes.c_uint64(2048))
            raise RuntimeError(message.value.decode())

    def make(name: str, *arguments: object) -> ctypes.c_void_p:
        made = ctypes.c_void_p()
        call(name, *arguments, ctypes.byref(made))
        return made

    def run(path: Path, normalize: int = 0, **opened: object) -> Picked:
        context = make("imn_context_new", None)
        options = OpenOptions(ctypes.sizeof(OpenOptions), **opened)  # type: ignore[arg-type]
        dataset = make("imn_dataset_open", context, str(path).encode(), ctypes.byref(options))
        moran = ScorerOptions(ctypes.sizeof(ScorerOptions), engine=b"moran")
        scorer = make("imn_scorer_new", context, ctypes.byref(moran))
        wanted = PickOptions(ctypes.sizeof(PickOptions), top=5, normalize=normalize)
        peaks = make("imn_pick", dataset, scorer, None, ctypes.byref(wanted))
        n, length = ctypes.c_int64(), ctypes.c_uint64()
        call("imn_peaks_count", peaks, ctypes.byref(n), None)
        columns = []
        for number in (0, 3):
            values = (ctypes.c_double * n.value)()
            call("imn_peaks_column", peaks, ctypes.c_int32(number), values, n)
            columns.append(list(values))
        call("imn_peaks_json", peaks, None, ctypes.c_uint64(0), ctypes.byref(length))
        text = ctypes.create_string_buffer(length.value)
        call("imn_peaks_json", peaks, text, length, None)
        for kind, handle in (("peaks", peaks), ("scorer", scorer), ("dataset", dataset), ("context", context)):
            getattr(native, f"imn_{kind}_free")(handle)
        return columns[0], columns[1], json.loads(text.value)

    return run


def require_same(found: Picked, expected: imn.PeakList) -> None:
    mz, scores, record = found
    assert expected.run is not None
    np.testing.assert_array_equal(mz, expected.all_scores["mz"])
    np.testing.assert_array_equal(scores, expected.all_scores["score"])
    assert record["input"] == json.loads(json.dumps(expected.run.to_dict()["input"]))


@pytest.mark.parametrize("normalize", NORMALIZE)
def test_normalised_images(pick: Callable[..., Picked], tmp_path: Path, normalize: Any) -> None:
    path = tmp_path / "section.imzML"
    imn.simulate(path, shape=(20, 24), n_channels=12, seed=4)
    found = pick(path, NORMALIZE.index(normalize))
    require_same(found, imn.pick(path, scorer="moran", top=5, normalize=normalize))
    assert found[2]["input"]["normalize"] == normalize
    assert ("normalize" in found[2]["timings"]) == (normalize != "none")


@pytest.mark.parametrize(("number", "polarity"), [(1, "positive"), (2, "negative")])
def test_one_polarity(pick: Callable[..., Picked], tmp_path: Path, number: int, polarity: Any) -> None:
    terms = POLARITIES["scan"]
    specs = list(both(terms("positive"), terms("negative")))
    for each in specs:
        each.intensity = [5.0 if int(each.x) > WIDTH // 2 else 1.0, 1.0 + (int(each.x) * int(each.y)) % 3]
    path = write(tmp_path, specs)
    found = pick(path, polarity=number)
    require_same(found, imn.pick(path, scorer="moran", top=5, polarity=polarity))
    assert found[2]["input"]["opened_with"]["polarity"] == polarity


@pytest.mark.parametrize("number", [1, 2])
def test_one_region(pick: Callable[..., Picked], tmp_path: Path, number: int) -> None:
    specs = [
        Spec(x=x + left, y=y, mz=[100.1, 200.2], intensity=[float(x), 1.0 + (x * y) % 3])
        for left in (0, 30)
        for y in range(1, 10)
        for x in range(1, 10)
    ]
    path = write_imzml(tmp_path / "slide.imzML", specs)
    with imn.open(path) as ds:
        assert len(ds.regions) == 2
        require_same(pick(path, region=number), imn.pick(ds.region(number), scorer="moran", top=5))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"polarity": 3}, "polarity must be from 0 to 2, not 3"),
        ({"ms_level": -1}, "ms_level must be from 1"),
        ({"region": 7}, "no region 7"),
        ({"normalize": 4}, "normalize must be one of IMN_NORMALIZE_..., not 4"),
    ],
)
def test_what_is_refused(pick: Callable[..., Picked], tmp_path: Path, options: dict[str, int], message: str) -> None:
    path = tmp_path / "section.imzML"
    imn.simulate(path, shape=(20, 24), n_channels=12, seed=4)
    with pytest.raises(RuntimeError, match=message):
        pick(path, **options)
