"""The report on changes of the C interface names what callers would notice."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEADER = (ROOT / "csrc" / "capi" / "include" / "ionmorphnet.h").read_text()


@pytest.fixture(scope="module")
def script() -> Any:
    if shutil.which("gcc") is None or shutil.which("abidiff") is None:
        pytest.skip("no gcc or no abidiff")
    spec = importlib.util.spec_from_file_location("abi_report", ROOT / "scripts" / "abi_report.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("int32_t no_cascade;", "int32_t no_noise;", "no_noise"),
        ("int32_t no_cascade;", "int64_t no_cascade;", "'struct imn_scorer_options' changed"),
        (
            "  int32_t threads;\n  int64_t top;",
            "  int64_t top;\n  int32_t threads;",
            "'struct imn_pick_options' changed",
        ),
        ("int32_t batch;  ", "int32_t batch; int32_t cores; ", "'struct imn_engine_request' changed"),
        ("imn_axis_count(const imn_axis* axis, int64_t* n)", "imn_axis_count(const imn_axis* axis)", "imn_axis_count"),
        ("imn_cancel_reset(", "imn_cancel_again(", "imn_cancel_again"),
        ("#define IMN_COL_SCORE 3", "#define IMN_COL_SCORE 11", "IMN_COL_SCORE: 3 -> 11"),
    ],
)
def test_a_change_is_reported(old: str, new: str, said: str, script: Any) -> None:
    changed = HEADER.replace(old, new)
    assert changed != HEADER
    assert said in script.report(HEADER, changed)


def test_no_change_is_no_report(script: Any) -> None:
    assert script.report(HEADER, HEADER) == ""
    assert len(script.numbers(HEADER)) > 60


def test_comments_are_no_change(script: Any) -> None:
    assert script.report(HEADER, HEADER.replace("/* IMN_AXIS_... */", "/* one of IMN_AXIS_... */")) == ""
