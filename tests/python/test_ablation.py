"""The ablation script: training, evaluation, resuming and errors."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra [train]")

from ionmorphnet.base.errors import ArgumentError  # noqa: E402
from ionmorphnet.models.labels import STATISTICS  # noqa: E402
from training_sources import DiscsAndNoise  # noqa: E402

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
TINY = ["--images", "16", "--size", "32", "--held-out", "12", "--workers", "0", "--threads", "1", "--precision", "f32"]


@pytest.fixture
def ablation(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., tuple[int, str, str]]]:
    """Runs the script in this process: code, stdout, stderr."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    threads = torch.get_num_threads()

    def run(out: Path, data: Path, *more: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ablation", "--out", str(out), "--data", str(data), *TINY, *more])
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(str(SCRIPTS / "ablation.py"), run_name="__main__")
        return int(stop.value.code or 0), *capsys.readouterr()

    yield run
    torch.set_num_threads(threads)


def test_a_short_ablation(ablation: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    folder = tmp_path / "data" / "ion_images"
    folder.mkdir(parents=True)
    np.savez(folder / "bladder150.npz", images=np.stack([DiscsAndNoise(10)[k].image for k in range(10)]))
    # The labellings differ on the last image.
    rows = [f"{k},structured,structured,3" if k % 2 == 0 else f"{k},unstructured,unstructured,0" for k in range(9)]
    rows.append("9,unstructured,fragmented,1")
    (folder / "bladder150_labels.csv").write_text("\n".join(["index,label_a,label_b,structure", *rows]) + "\n")
    options = ["--sets", "bladder150", "--variants", "full", "no structure output", "no mask"]
    code, message, errors = ablation(tmp_path / "runs", tmp_path / "data", *options)
    assert code == 0, errors
    header, _, *lines = message.split("\n\n")[-1].strip().splitlines()
    assert header == (
        "| variant | simulated spearman | simulated accuracy | "
        "bladder150 auc | bladder150 spearman | bladder150 accuracy |"
    )
    assert [line.split(" | ")[0] for line in lines] == ["| full", "| no structure output", "| no mask"]
    document = json.loads((tmp_path / "runs" / "ablation.json").read_text())
    assert document["images"] == 16
    for (figures,) in document["variants"].values():
        assert -1.0 <= figures["simulated"]["spearman"] <= 1.0
        assert 0.0 <= figures["bladder150"]["auc"] <= 1.0
        # Twentieths: ten images, two labellings.
        assert figures["bladder150"]["accuracy"] * 20 == pytest.approx(round(figures["bladder150"]["accuracy"] * 20))

    _, again, _ = ablation(tmp_path / "runs", tmp_path / "data", *options)
    assert again.count("already finished") == 3
    assert again.split("\n\n")[-1] == message.split("\n\n")[-1]


def test_missing_images_are_reported_before_training(
    ablation: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    code, _, errors = ablation(tmp_path / "runs", tmp_path, "--sets", "brain96")
    assert code == 1
    assert "brain96" in errors
    assert len(errors.strip().splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_stored_inputs_equal_those_of_the_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Equal up to float16, with and without mask and statistics; another seed or size is simulated anew."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    from ablation_inputs import KeptSource

    from ionmorphnet.labelled.sources import SimulatedSource
    from ionmorphnet.models.preprocessing import Preprocessing
    from ionmorphnet.training.batches import NetworkInputs, network_inputs

    for seed in (9, 10):
        source = SimulatedSource(6, seed, levels=2, sides=(20, 50))
        kept = KeptSource(source, 32, tmp_path, workers=1)
        assert len(kept) == 6
        assert kept.describe() == source.describe()
        for mask, statistics in ((True, STATISTICS), (True, ("coverage", "blur")), (False, ())):
            asked = Preprocessing(size=32, mask=mask)
            wanted = NetworkInputs(source, asked, statistics=statistics)
            given = network_inputs(kept, asked, statistics=statistics)
            for k in range(6):
                for ours, theirs in zip(given[k], wanted[k], strict=True):
                    np.testing.assert_allclose(ours, theirs, atol=5e-4)
    with pytest.raises(ArgumentError, match=r"p99-stretch-32\[-mask\], requested was p99-stretch-64-mask"):
        kept.network_inputs(Preprocessing(size=64, mask=True))


def test_parallel_trainings(ablation: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    """Separate processes produce the same figures as a sequential run."""
    variants = ["--variants", "full", "no ranking loss", "--sets"]
    shared = ["--inputs", str(tmp_path / "inputs")]
    code, _, errors = ablation(tmp_path / "1", tmp_path, *variants, *shared)
    assert code == 0, errors
    command = [sys.executable, str(SCRIPTS / "ablation.py"), "--out", str(tmp_path / "2"), *TINY, *variants, *shared]
    done = subprocess.run([*command, "--parallel", "2"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = [json.loads((tmp_path / name / "ablation.json").read_text())["variants"] for name in "12"]
    assert found[0] == found[1]
    assert found[0]["full"] != found[0]["no ranking loss"]
