"""Candidates for tests of the labelling page, made without a section and without a network."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from werkzeug.test import Client

from ionmorphnet.labelling.candidates import Candidates
from ionmorphnet.labelling.label_file import LabelFile
from ionmorphnet.labelling.order import Order
from ionmorphnet.labelling.server import LabelApp
from ionmorphnet.labelling.session import Session

SHAPE = (12, 20)


def make_candidates(n: int = 30, reads: list[list[int]] | None = None, **changes: Any) -> Candidates:
    """``n`` channels with m/z 100, 101, ...; item k shows a gradient times k + 1, its first pixel unmeasured.

    Args:
        n: Number of channels.
        reads: Receives the items of each pass over the file.
        changes: Fields of Candidates to set.
    """
    mz = 100.0 + np.arange(n)
    rng = np.random.default_rng(3)

    def read(items: Sequence[int]) -> list[NDArray[np.float32]]:
        if reads is not None:
            reads.append(list(items))
        images = np.stack([np.linspace(0, k + 1, SHAPE[0] * SHAPE[1], dtype=np.float32).reshape(SHAPE) for k in items])
        images[:, 0, 0] = np.nan
        return list(images)

    fields: dict[str, Any] = {
        "title": "liver.imzML",
        "filename": "liver.imzML",
        "keys": tuple(f"{value:.10g}" for value in mz),
        "indices": None,
        "mz": mz,
        "mz_lo": mz - 0.01,
        "mz_hi": mz + 0.01,
        "scores": np.linspace(1, 0, n),
        "probabilities": rng.dirichlet(np.ones(6), n),
        "read": read,
        "section": np.ones(SHAPE, np.float32),
        "pixel_size_um": (50.0, 100.0),
    }
    return Candidates(**(fields | changes))


def make_session(path: Path, n: int = 30, order: Order = "rank", **changes: Any) -> Session:
    """A session on ``n`` candidates."""
    candidates = make_candidates(n, **changes)
    return Session(candidates, LabelFile(path, candidates), order)


class Page:
    """What the page does, without a browser."""

    def __init__(self, session: Session, on_finish: Callable[[], None] = lambda: None) -> None:
        self.app = LabelApp(session, on_finish)
        self.client = Client(self.app)

    def get(self, path: str, **headers: str) -> Any:
        """The answer to a request of the page; ``path`` without the token."""
        return self.client.get(self.app.path + path, headers={"Host": "127.0.0.1:5000", **headers})

    def post(self, path: str, body: object, **headers: str) -> Any:
        """The answer to a change."""
        base = {"Host": "127.0.0.1:5000", "Content-Type": "application/json"}
        text = body if isinstance(body, (bytes, str)) else json.dumps(body)
        return self.client.post(self.app.path + path, data=text, headers=base | headers)

    def label(self, item: int, label: int, grade: float | None = None) -> Any:
        """Labels an image on the current revision."""
        revision = self.get("state").json["revision"]
        return self.post("label", {"item": item, "label": label, "grade": grade, "revision": revision})
