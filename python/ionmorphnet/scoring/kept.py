"""Compiled scorers that are kept between calls, so that scoring image by image does not compile a network each time."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from pathlib import Path

from ionmorphnet.base.arguments import thread_count
from ionmorphnet.base.devices import Device, DeviceName
from ionmorphnet.models.model import Model, model_folder
from ionmorphnet.scoring.choose import make_scorer
from ionmorphnet.scoring.classical import CLASSICAL_SCORERS
from ionmorphnet.scoring.scorer import Precision, Scorer, ScorerCallable, ScorerName

# Scorers that are kept at most, the last used ones. One of the bundled model takes about 100 MB.
MOST_KEPT = 2

_lock = threading.Lock()
_idle: OrderedDict[Hashable, Scorer] = OrderedDict()


def clear_scorers() -> None:
    """Forgets the scorers that :func:`ionmorphnet.score_images` and :func:`ionmorphnet.pick` keep between calls.

    At most two are kept, on the CPU or a GPU; their memory is returned when no call uses them any more.
    """
    with _lock:
        _idle.clear()


@contextlib.contextmanager
def kept_scorer(
    *,
    model: str | Path | Model | None,
    scorer: ScorerName | ScorerCallable | Scorer,
    device: DeviceName | Device,
    precision: Precision,
    threads: int,
) -> Iterator[Scorer]:
    """A scorer as :func:`ionmorphnet.make_scorer` makes it, an idle one of an earlier call if there is one.

    A call has its scorer to itself: two threads that score at once use two. After an error the scorer is not kept.
    """
    wanted = {"model": model, "scorer": scorer, "device": device, "precision": precision, "threads": threads}
    if not isinstance(scorer, str) or scorer in CLASSICAL_SCORERS:  # nothing to compile, or the caller's own
        yield make_scorer(**wanted)  # type: ignore[arg-type]
        return
    key = (_identity(model), scorer, str(Device.parse(device)), str(precision), thread_count(threads))
    with _lock:
        ready = _idle.pop(key, None)
    if ready is None:
        ready = make_scorer(**wanted)  # type: ignore[arg-type]
    yield ready
    if ready.refused and ready.device.kind == "cpu":
        return  # a GPU that refused may be free again at the next call
    with _lock:
        _idle[key] = ready
        while len(_idle) > MOST_KEPT:
            _idle.popitem(last=False)


def _identity(model: str | Path | Model | None) -> Hashable:
    """Equal as long as loading the model would give the same."""
    if isinstance(model, Model):
        return id(model)  # a kept scorer holds its model, so that no other one gets the same id
    folder = model_folder(model)
    states = []
    for name in ("config.json", "model.onnx", "model.safetensors", "model.int8.xml", "model.int8.bin"):
        with contextlib.suppress(OSError):
            state = os.stat(folder / name)
            states.append((name, state.st_ino, state.st_size, state.st_mtime_ns))
    return (str(folder.resolve()), tuple(states))


if hasattr(os, "register_at_fork"):
    _of_parent: list[OrderedDict[Hashable, Scorer]] = []

    # A network does not survive a fork, and the lock may be held by a thread that the child does not have. The child
    # keeps the parent's networks alive: destroying one waits, perhaps forever, for threads that only the parent has.
    def _after_fork() -> None:
        global _lock, _idle
        _lock = threading.Lock()
        _of_parent.append(_idle)
        _idle = OrderedDict()

    os.register_at_fork(after_in_child=_after_fork)
