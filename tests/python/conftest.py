"""Fixtures of several test files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from chromium import Chromium, find_chromium
from ionmorphnet.cli.app import main
from ionmorphnet.io.imzml_writer import ImzMLWriter


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    def is_one_line_error(self, *words: str) -> None:
        """The error exit that every command promises."""
        assert self.code == 2, self
        assert "Traceback" not in self.stderr
        assert len(self.stderr.strip().splitlines()) == 1, self.stderr
        for word in words:
            assert word in self.stderr, self.stderr


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Runs a command in this process."""

    def run(*arguments: object) -> Done:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main(list(map(str, arguments)))
        out, err = capsys.readouterr()
        return Done(int(stop.value.code or 0), out, err)

    return run


@pytest.fixture(scope="session")
def two_planes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """z.imzML: planes 1 and 2, 16 x 18 pixels, 20 channels; channel 3 is a half of plane 1, channel 7 of plane 2."""
    path = tmp_path_factory.mktemp("planes") / "z.imzML"
    mz = np.linspace(300, 900, 20)
    draw = np.random.default_rng(5)
    with ImzMLWriter(path, mode="continuous", spectrum_type="centroid") as writer:
        for z, structured in ((1, 3), (2, 7)):
            for y, x in np.ndindex(16, 18):
                intensity = draw.random(20)
                intensity[structured] += 5.0 * (x > 8)
                writer.add(x + 1, y + 1, mz, intensity, z=z)
    return path


@pytest.fixture
def images(rng: np.random.Generator) -> np.ndarray:
    """A bright disc, noise, an empty and a constant image, 30 x 40."""
    y, x = np.mgrid[:30, :40] / 30
    disc = ((y - 0.5) ** 2 + (x - 0.6) ** 2 < 0.16).astype(float)
    return np.stack([disc * 100 + rng.random(disc.shape), rng.random(disc.shape), 0 * disc, 5 + 0 * disc])


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chromium]:
    """A headless Chromium; without one the test skips."""
    executable = find_chromium()
    if executable is None:
        pytest.skip("no Chromium was found (Debian: apt-get install chromium; or set IMN_CHROMIUM)")
    opened = Chromium(executable, tmp_path / "profile")
    yield opened
    opened.close()
