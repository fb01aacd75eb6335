"""Picks a faulty section and judges whether the result is right, or whether the cause was said."""

from __future__ import annotations

import contextlib
import io
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import ionmorphnet as imn
from ionmorphnet.cli.app import main
from odd_files.faults import Fault
from odd_files.sections import PIXEL_SIZE_UM, Section, clean_section

TOP = 20
SAME_PICKS = 0.9
SAME_IMAGE = 0.99


@dataclass
class Picks:
    """What a pick returned: m/z, windows, images of its best channels, and the pixel size it states."""

    mz: np.ndarray
    half: np.ndarray
    images: np.ndarray
    pixel_size_um: tuple[float, float] | None


@dataclass
class Outcome:
    """What became of one faulty section.

    Attributes:
        fault: Name of the fault; "none" for a clean section.
        right: Whether the picks, their images and the pixel size are those of the clean section.
        named: Whether a warning or an error names the cause.
        code: Exit code.
        lines: Everything that was said on stderr and in run.json.
        why: Why the picks are not right.
        path: The faulty file.
    """

    fault: str
    right: bool
    named: bool
    code: int
    lines: list[str]
    why: str = ""
    path: Path = Path()

    @property
    def silent(self) -> bool:
        """Whether a user would believe a wrong result."""
        return not self.right and not self.named


def command(*argv: str) -> tuple[int, str, str]:
    """Runs the command line in this process: exit code, stdout, stderr."""
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(list(argv))
        except SystemExit as exit:
            code = exit.code
    return (code if isinstance(code, int) else 1), out.getvalue(), err.getvalue()


def read_picks(folder: Path, *, close_gaps: bool = False) -> Picks:
    """The best channels of a result folder with their images; ``close_gaps`` leaves out lines and columns of NaN."""
    with contextlib.redirect_stderr(io.StringIO()):
        peaks = imn.open_run(folder)
        frame = peaks.to_frame().head(TOP)
        record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        images = peaks[:TOP].ion_images() if len(frame) else np.empty((0, 1, 1))
    images = np.asarray(images)
    if close_gaps:
        seen = np.isfinite(images).any(axis=0)
        images = images[:, seen.any(axis=1)][:, :, seen.any(axis=0)]
    size = record["input"]["pixel_size_um"]
    half = (frame["mz_hi"] - frame["mz_lo"]).to_numpy() / 2
    return Picks(frame["mz"].to_numpy(), half, images, None if size is None else (size[0], size[1]))


def _same_image(a: np.ndarray, b: np.ndarray) -> bool:
    both = np.isfinite(a) & np.isfinite(b)
    if both.sum() < 0.97 * np.isfinite(a).sum():
        return False
    x, y = a[both], b[both]
    if x.std() == 0 or y.std() == 0:
        return bool(x.std() == y.std())
    return bool(np.corrcoef(x, y)[0, 1] > SAME_IMAGE)


def difference(clean: Picks, found: Picks) -> str:
    """Why two results are not the same; empty if they are."""
    if clean.images.shape[1:] != found.images.shape[1:]:
        return f"grid {found.images.shape[1:]} instead of {clean.images.shape[1:]}"
    if found.pixel_size_um not in (clean.pixel_size_um, None):
        return f"pixel size {found.pixel_size_um}"
    distance = np.abs(clean.mz[:, None] - found.mz[None, :])
    near = distance <= np.maximum(clean.half[:, None], 2e-6 * clean.mz[:, None])
    pairs = [(i, int(np.argmin(distance[i]))) for i in range(len(clean.mz)) if near[i].any()]
    union = len(clean.mz) + len(found.mz) - len(pairs)
    if len(pairs) < SAME_PICKS * union:
        return f"{len(pairs)} of {union} picks in common"
    same = sum(_same_image(clean.images[i], found.images[j]) for i, j in pairs)
    if same < SAME_PICKS * len(pairs):
        return f"{same} of {len(pairs)} images the same"
    return ""


def pick_and_judge(
    path: Path, out: Path, clean: Picks | None, fault: Fault | None, scorer: str, *, close_gaps: bool = False
) -> Outcome:
    """Picks ``path`` on the command line and compares the result with that of the clean section.

    Args:
        path: The imzML file.
        out: Output folder, new.
        clean: What is right; None to accept anything.
        fault: What is wrong with the file; None for a clean one.
        scorer: Name of the scorer.
        close_gaps: Whether the grid may have gaps that the clean one has not.
    """
    code, _, err = command("pick", str(path), "-o", str(out), "--scorer", scorer, "--top", str(TOP))
    folders = sorted(record.parent for record in out.rglob("run.json"))
    lines = [line for line in err.splitlines() if line.strip()]
    for folder in folders:
        record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        lines += [*record["input"]["warnings"], *record["warnings"]]
    lines = list(dict.fromkeys(lines))
    why = "" if folders else "no result"
    if clean is not None:
        for folder in folders:
            why = why or difference(clean, read_picks(folder, close_gaps=close_gaps))
    texts = [
        line.replace(str(path), "").replace(path.name, "") for line in lines
    ]  # a name says nothing about the cause
    named = fault is not None and any(re.search(fault.names, text, re.IGNORECASE) for text in texts)
    return Outcome(fault.name if fault else "none", not why, named, code, lines, why, path)


class Sweep:
    """Sections, picked as they are and with faults; clean sections are simulated and picked once."""

    def __init__(self, folder: Path, scorer: str = "moran") -> None:
        self._folder = folder
        self._scorer = scorer
        self._clean: dict[tuple[str, int], tuple[Section, Picks, Outcome]] = {}
        self._runs = 0

    def clean(self, flavour: str, seed: int) -> tuple[Section, Picks, Outcome]:
        """A clean section, what is picked in it, and what is said about it."""
        key = (flavour, seed)
        if key not in self._clean:
            section = clean_section(self._folder, flavour, seed)
            path = section.write(self._folder / f"{flavour}_{seed}.imzML")
            out = self._folder / f"{flavour}_{seed}_out"
            outcome = pick_and_judge(path, out, None, None, self._scorer)
            (folder,) = sorted(record.parent for record in out.rglob("run.json"))
            picks = read_picks(folder)
            assert picks.pixel_size_um == (PIXEL_SIZE_UM, PIXEL_SIZE_UM)
            self._clean[key] = section, picks, outcome
        return self._clean[key]

    def run(self, fault: Fault, flavour: str, seed: int, draw: int) -> Outcome:
        """One faulty section: that of (flavour, seed), with the severity of ``draw``."""
        clean, picks, _ = self.clean(flavour, seed)
        self._runs += 1
        folder = self._folder / f"run{self._runs}"
        folder.mkdir()
        section = fault.change(clean, np.random.default_rng(draw))
        path = section.write(folder / "section.imzML")
        picks = replace(picks, pixel_size_um=section.pixel_size_um)
        return pick_and_judge(path, folder / "out", picks, fault, self._scorer, close_gaps=section.gaps)
