"""Simulated images written from Python and from the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from conftest import Done
from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.models.labels import CLASSES, PROBABILITY_COLUMNS
from ionmorphnet.simulation import simulate_images


def test_npz_and_truth_agree(tmp_path: Path) -> None:
    written = simulate_images(tmp_path / "set.npz", 30, seed=4)
    truth = pd.read_csv(tmp_path / "set_labels.csv")
    assert written.truth_path == tmp_path / "set_labels.csv"
    assert list(truth.columns) == ["index", "key", "label", "structure", *PROBABILITY_COLUMNS]
    np.testing.assert_allclose(truth[list(PROBABILITY_COLUMNS)].sum(axis=1), 1.0, atol=1e-3)
    assert [int((truth.label == name).sum()) for name in CLASSES] == list(written.counts)
    with np.load(tmp_path / "set.npz") as arrays:
        assert list(arrays) == list(truth.key)
        assert all(arrays[key].dtype == np.float32 and arrays[key].ndim == 2 for key in arrays)
        assert len({arrays[key].shape for key in arrays}) > 5


def test_the_seed_decides(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        simulate_images(tmp_path / f"{name}.npz", 3, seed=seed, shape=(30, 40))
    a, b, c = (np.load(tmp_path / f"{name}.npz")["image_00002"] for name in "abc")
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c, equal_nan=True)


def test_levels_share_a_scene(tmp_path: Path) -> None:
    simulate_images(tmp_path / "levels.npz", 4, levels=2, seed=3)
    with np.load(tmp_path / "levels.npz") as arrays:
        first, second, third, _ = (arrays[key] for key in arrays)
    np.testing.assert_array_equal(np.isnan(first), np.isnan(second))
    assert first.shape != third.shape or not np.array_equal(first, third, equal_nan=True)


def test_sheet_is_a_picture(tmp_path: Path) -> None:
    written = simulate_images(tmp_path / "sheet.png", 7)
    assert written.truth_path is None
    with Image.open(tmp_path / "sheet.png") as picture:
        assert min(picture.size) > 128


def test_bad_arguments(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"\.npz or \.png"):
        simulate_images(tmp_path / "set.csv", 3)
    with pytest.raises(ArgumentError, match="number of images"):
        simulate_images(tmp_path / "set.npz", 0)
    with pytest.raises(ArgumentError, match="label must be one of structured"):
        simulate_images(tmp_path / "set.npz", 3, label="tissue")
    with pytest.raises(FileError, match="does not exist"):
        simulate_images(tmp_path / "none" / "set.npz", 2)


def test_command(cli: Callable[..., Done], tmp_path: Path) -> None:
    done = cli("simulate-images", str(tmp_path / "set.npz"), "-n", "6", "--label", "negative", "--shape", "40", "50")
    assert done.code == 0, done.stderr
    assert "6 images" in done.stdout
    assert "set_labels.csv" in done.stdout
    wrong = cli("simulate-images", str(tmp_path / "set.txt"))
    wrong.is_one_line_error("set.txt", ".npz or .png")
