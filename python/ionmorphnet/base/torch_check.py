"""What is done about torch before it is imported."""

from __future__ import annotations

import importlib.util
import os
import sys

from ionmorphnet.base.errors import UnavailableError


def require_torch(message: str) -> None:
    """Check that torch is installed, and ask its threads to sleep while they wait for each other.

    By default they spin, which takes the cores from the simulator and, beside other work, makes a training several
    times slower. A set ``OMP_WAIT_POLICY`` is left as it is; once torch is loaded nothing changes.

    Args:
        message: What to say where it is not there.

    Raises:
        UnavailableError: torch is not installed.
    """
    if importlib.util.find_spec("torch") is None:
        raise UnavailableError(message)
    if "torch" not in sys.modules:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
