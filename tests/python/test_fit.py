"""The training loop: it learns, stops, resumes to the same weights, and runs in two processes."""

from __future__ import annotations

import csv
import errno
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra [train]")

from ionmorphnet.base.errors import ArgumentError, Cancelled, FileError, IonMorphNetError, UnavailableError  # noqa: E402
from ionmorphnet.labelled.sources import SimulatedSource  # noqa: E402
from ionmorphnet.models.labels import STATISTICS  # noqa: E402
from ionmorphnet.models.preprocessing import Preprocessing  # noqa: E402
from ionmorphnet.reference.preprocess import preprocess, resize_bilinear  # noqa: E402
from ionmorphnet.simulation import simulate_ion_image  # noqa: E402
from ionmorphnet.training import run_state, runtime  # noqa: E402
from ionmorphnet.training.batches import NetworkInputs, batches, prepare  # noqa: E402
from ionmorphnet.training.fit import Execution, Progress, fit  # noqa: E402
from ionmorphnet.training.networks import AllOutputs, Compiled, make_network  # noqa: E402
from ionmorphnet.training.recipe import Phase, Recipe  # noqa: E402
from ionmorphnet.training.run_state import MovingAverage, load_file, make_optimiser  # noqa: E402
from ionmorphnet.training.validation import Validation, Validator  # noqa: E402
from training_sources import DiscsAndNoise  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
SHORT = Recipe(phases=(Phase(32, 96, 8),), compile=False, precision="f32", learning_rate=1e-3)
HERE = Execution(workers=0, threads=1, log_steps=4)


def _weights(folder: Path) -> dict[str, Any]:
    return load_file(folder / "weights.pt", "weights")["weights"]  # type: ignore[no-any-return]


def _assert_equal(a: dict[str, Any], b: dict[str, Any]) -> None:
    assert a.keys() == b.keys()
    for name, value in a.items():
        assert torch.equal(value, b[name]), name


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_training_learns_and_writes_the_documented_file(tmp_path: Path) -> None:
    recipe = replace(SHORT, phases=(Phase(32, 320, 16), Phase(64, 32, 16)), ema_decay=0.9)
    seen: list[Progress] = []
    done = fit(recipe, tmp_path, source=DiscsAndNoise(400), execution=HERE, progress=seen.append)
    assert [bool(at.line) for at in seen] == [at.row is not None for at in seen]
    assert seen[-1].line.startswith("step 22/22  images 352  loss ")
    assert (done.step, done.images_seen, done.best) == (22, 352, None)
    assert [p.step for p in seen] == list(range(1, 23))
    rows = _rows(tmp_path / "log.csv")
    assert [int(row["step"]) for row in rows] == [4, 8, 12, 16, 20, 22]
    assert [int(row["size"]) for row in rows[-2:]] == [32, 64]
    assert float(rows[4]["loss"]) < 0.5 * float(rows[0]["loss"])
    content = torch.load(tmp_path / "weights.pt", weights_only=True)
    assert {
        k: content[k] for k in ("format", "architecture", "in_chans", "extra_outputs", "preprocessing", "step")
    } == {
        "format": 1,
        "architecture": "convnextv2_atto",
        "in_chans": 2,
        "extra_outputs": {"structure": 1},
        "preprocessing": "p99-stretch-64-mask",
        "step": 22,
    }
    assert content["statistics"] == list(STATISTICS)
    assert Recipe.from_dict(content["recipe"]) == recipe
    assert content["provenance"]["images_seen"] == 352
    assert content["provenance"]["finished"] is True
    make_network(recipe).load_state_dict(content["weights"])


def _script(out: Path, *more: str) -> list[str]:
    recipe = ["--size", "32", "--images", "96", "--batch", "8", "--no-compile", "--threads", "1", "--log-steps", "1"]
    script = str(ROOT / "scripts" / "train_bundled_model.py")
    return [sys.executable, script, "--out", str(out), *recipe, "--save-seconds", "0", "--no-export", *more]


def _wait_for_step(log: Path, step: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 120
    while not (log.is_file() and len(_rows(log)) >= step):
        assert process.poll() is None, "ended too early"
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The training of ``_script``, in this process."""
    out = tmp_path_factory.mktemp("whole")
    fit(Recipe(phases=(Phase(32, 96, 8),), compile=False), out, execution=Execution(workers=0, threads=1, log_steps=1))
    return out


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_resumed_training_ends_with_the_same_weights(uninterrupted: Path, tmp_path: Path, number: int) -> None:
    # SIGKILL leaves the data worker behind, SIGTERM must stop it.
    script = _script(tmp_path, "--workers", "1")
    with subprocess.Popen(script, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        _wait_for_step(tmp_path / "log.csv", 4, process)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == (-signal.SIGKILL if number == signal.SIGKILL else 1), errors
    stopped = load_file(tmp_path / "last.pt", "step")["step"]
    assert 3 <= stopped < 12
    if number == signal.SIGTERM:
        assert b"stopped at step" in errors
        assert b"Traceback" not in errors
    # Half a line, as a power cut may leave it.
    with (tmp_path / "log.csv").open("a") as file:
        file.write("9")
    execution = Execution(workers=0, threads=1, log_steps=1)
    fit(Recipe(phases=(Phase(32, 96, 8),), compile=False), tmp_path, execution=execution)
    _assert_equal(_weights(tmp_path), _weights(uninterrupted))
    columns = ("step", "images", "loss", "classes", "structure", "ranking", "lr")
    expected = [[row[name] for name in columns] for row in _rows(uninterrupted / "log.csv")]
    assert [[row[name] for name in columns] for row in _rows(tmp_path / "log.csv")] == expected


def test_another_recipe_is_refused_without_changes(uninterrupted: Path) -> None:
    before = (uninterrupted / "last.pt").read_bytes()
    with pytest.raises(ArgumentError, match=r"last\.pt.*drop_path = 0\.03"):
        fit(Recipe(phases=(Phase(32, 96, 8),), compile=False, drop_path=0.0), uninterrupted, execution=HERE)
    assert (uninterrupted / "last.pt").read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"half", b"PK\x03\x04 cut"])
def test_a_damaged_state_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "last.pt").write_bytes(content)
    with pytest.raises(FileError, match=r"last\.pt"):
        fit(SHORT, tmp_path, source=DiscsAndNoise(96), execution=HERE)


def test_a_failed_save_keeps_the_previous_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.pt"
    run_state.save_file({"step": 1}, path)
    before = path.read_bytes()

    def half(_content: object, file: Path) -> None:
        Path(file).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(FileError, match=r"last\.pt: cannot be written"):
        run_state.save_file({"step": 2}, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


def test_too_few_images_and_infinite_gradients(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="requires 96 images, but the source has 95"):
        fit(SHORT, tmp_path / "a", source=DiscsAndNoise(95), execution=HERE)
    recipe = replace(SHORT, learning_rate=1e30, warmup=0.0, gradient_clip=0.0)
    with pytest.raises(IonMorphNetError, match="the gradient is not finite at step"):
        fit(recipe, tmp_path / "b", source=DiscsAndNoise(96), execution=HERE)


def test_validation_keeps_the_best_and_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = iter([3.0, 2.0, 2.5, 2.6, 1.0])
    monkeypatch.setattr(
        Validator, "evaluate", lambda *_: {"loss": next(losses), "accuracy": 0.5, "balanced_accuracy": 0.5}
    )
    recipe = replace(SHORT, phases=(Phase(32, 16, 8), Phase(64, 80, 8)))
    validation = Validation(DiscsAndNoise(8), every=16, patience=2)
    done = fit(recipe, tmp_path, source=DiscsAndNoise(96), validation=validation, execution=HERE)
    assert done.stopped_early
    assert done.step == 8
    assert done.best == {"step": 4, "loss": 2.0, "accuracy": 0.5, "balanced_accuracy": 0.5}
    content = load_file(tmp_path / "weights.pt", "step", "provenance")
    assert content["step"] == 4
    assert content["provenance"]["validation"]["figures"]["loss"] == 2.0
    assert [row["best"] for row in _rows(tmp_path / "validation.csv")] == ["1", "1", "0", "0"]
    again = fit(recipe, tmp_path, source=DiscsAndNoise(96), validation=validation, execution=HERE)
    assert again.step == 8


def test_validation_figures(tmp_path: Path) -> None:
    validation = Validation(DiscsAndNoise(22), every=48)
    done = fit(SHORT, tmp_path, source=DiscsAndNoise(96), validation=validation, execution=HERE)
    rows = _rows(tmp_path / "validation.csv")
    assert [int(row["step"]) for row in rows] == [6, 12]
    assert float(rows[1]["loss"]) < float(rows[0]["loss"])
    # The weights that were kept give what was written.
    network = make_network(SHORT)
    validator = Validator(validation, SHORT, network, None)
    figures = validator.evaluate(_weights(tmp_path), 32, 8, 0)
    assert figures["loss"] == pytest.approx(done.best["loss"], rel=1e-5)
    # The accuracies are those of all images, counted here one by one.
    network.load_state_dict(_weights(tmp_path))
    inputs = NetworkInputs(validation.source, Preprocessing(size=32, mask=True))
    with torch.no_grad():
        right = [
            int(network.eval()(torch.tensor(x)[None], torch.tensor(s)[None]).argmax()) == int(p.argmax())
            for x, s, p, _, _ in (inputs[k] for k in range(22))
        ]
    assert figures["accuracy"] == pytest.approx(np.mean(right))


def test_images_follow_the_specification(rng: np.random.Generator) -> None:
    for _ in range(4):
        image = simulate_ion_image(rng).image
        image[:3, 2:9] = np.nan
        sample = rng.random(image.shape).astype(np.float32)
        for name in ("p99-stretch-224", "p99-area-96-mask-sqrt-sample"):
            prepared = prepare(image, Preprocessing.parse(name), sample)
            np.testing.assert_allclose(prepared, preprocess(image[None], name, None, sample)[0], rtol=0, atol=1e-6)
    nothing = prepare(np.full((20, 20), np.nan, np.float32), Preprocessing(size=32, mask=True, sample=True))
    assert nothing[:2].max() == 0.0
    assert (nothing[2] == 0.5).all()


def test_the_sample_map_reaches_the_network(rng: np.random.Generator) -> None:
    source = DiscsAndNoise(3)
    given = [replace(source[k], sample=rng.random(source[k].image.shape).astype(np.float32)) for k in range(2)]
    inputs = NetworkInputs([*given, source[2]], Preprocessing(size=32, sample=True))  # type: ignore[arg-type]
    for k in range(2):
        np.testing.assert_allclose(inputs[k][0][1], resize_bilinear(given[k].sample, 32), atol=1e-6)
    assert (inputs[2][0][1] == 0.5).all()


def test_batches_do_not_depend_on_the_workers() -> None:
    inputs = NetworkInputs(SimulatedSource(12, 9, levels=2, sides=(20, 50)), Preprocessing(size=32, mask=True))
    parts = [range(4), range(4, 8)]
    alone, helped = (list(batches(inputs, parts, workers)) for workers in (0, 2))
    for a, b in zip(alone, helped, strict=True):
        for name, value in vars(a).items():
            torch.testing.assert_close(value, getattr(b, name), rtol=0, atol=0)
    assert alone[1].images.shape == (4, 2, 32, 32)
    assert alone[1].scene.tolist() == [2, 2, 3, 3]
    assert alone[0].statistics.abs().sum() > 0
    # Images without a scene are none of each other's.
    singles = NetworkInputs(SimulatedSource(4, 9, sides=(20, 50)), Preprocessing(size=32))
    single = next(iter(batches(singles, [range(4)], 0)))
    assert len(set(single.scene.tolist())) == 4


def test_vectors_are_not_decayed() -> None:
    network = make_network(SHORT)
    groups = make_optimiser(network, SHORT).param_groups
    assert [group["weight_decay"] for group in groups] == [0.05, 0.0]
    assert all(p.ndim > 1 for p in groups[0]["params"])
    assert sum(len(group["params"]) for group in groups) == len(list(network.parameters()))


def test_moving_average_approaches_the_weights() -> None:
    layer = torch.nn.Linear(2, 2)
    average, none = MovingAverage(layer, 0.9), MovingAverage(layer, 0.0)
    start = average.weights["bias"].clone()
    with torch.no_grad():
        layer.bias.add_(1.0)
    for each in (average, none):
        each.update(layer)
    # The first update of a young average keeps 2 / 11 of the start.
    torch.testing.assert_close(average.weights["bias"], start + 9.0 / 11.0)
    assert torch.equal(none.weights["bias"], layer.bias)


def test_dropped_weights() -> None:
    torch.manual_seed(0)
    network = AllOutputs(make_network(replace(SHORT, drop_path=0.0)), 0.5)
    given = torch.rand(2, 2, 32, 32), torch.rand(2, len(STATISTICS))
    a, b = network(*given)["logits"], network(*given)["logits"]
    assert not torch.allclose(a, b)
    a.sum().backward()
    gradient = network.network.stem[0].weight.grad
    assert float((gradient == 0).float().mean()) == pytest.approx(0.5, abs=0.1)
    with torch.no_grad():
        network.eval()
        torch.testing.assert_close(network(*given)["logits"], network.network(*given))


class _BrokenBackward(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(_context: Any, value: Any) -> Any:
        return value.clone()

    @staticmethod
    def backward(_context: Any, _gradient: Any) -> Any:
        raise ImportError("/tmp/kernel.so: file too short")


@pytest.mark.parametrize("where", ["forward", "backward"])
def test_training_survives_a_failed_compilation_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    def broken(module: Any, **_: Any) -> Any:
        def call(*given: Any) -> Any:
            if where == "forward":
                raise RuntimeError("backend='inductor' raised:\nCppCompileError: C++ compile error\nmany more lines")
            return {name: _BrokenBackward.apply(value) for name, value in module(*given).items()}

        return call

    monkeypatch.setattr(torch, "compile", broken)
    recipe = replace(SHORT, phases=(Phase(32, 24, 8),), augmentation="mild", weight_dropout=0.05)
    with caplog.at_level("WARNING"):
        fit(replace(recipe, compile=True), tmp_path / "broken", source=DiscsAndNoise(24), execution=HERE)
    cause = "backend='inductor' raised: CppCompileError: C++ compile error"
    cause = cause if where == "forward" else "/tmp/kernel.so: file too short"
    assert [record.getMessage() for record in caplog.records] == [
        f"torch.compile failed ({cause}); training continues without it, more slowly"
    ]
    # The step that failed was done again with the same random numbers.
    fit(recipe, tmp_path / "eager", source=DiscsAndNoise(24), execution=HERE)
    _assert_equal(_weights(tmp_path / "broken"), _weights(tmp_path / "eager"))


def test_an_error_of_the_network_itself_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda module, **_: module)
    network = Compiled(torch.nn.Identity())
    with pytest.raises(MemoryError):
        network.run(lambda: (_ for _ in ()).throw(MemoryError("too large")))


def test_other_backbones_need_timm() -> None:
    try:
        import timm  # noqa: F401
    except (ImportError, RuntimeError):
        with pytest.raises(UnavailableError, match=r"'resnet18' is not one of convnextv2_atto.*pip install timm"):
            make_network(replace(SHORT, architecture="resnet18"))
        return
    network = make_network(replace(SHORT, architecture="resnet18", drop_path=0.0)).eval()
    outputs = AllOutputs(network)(torch.rand(2, 2, 64, 64), torch.rand(2, 4))
    assert {name: tuple(value.shape) for name, value in outputs.items()} == {"logits": (2, 6), "structure": (2, 1)}
    with pytest.raises(ArgumentError, match="and the backbones of timm"):
        make_network(replace(SHORT, architecture="no_such_net"))


def test_tensorboard_is_optional(tmp_path: Path) -> None:
    execution = replace(HERE, tensorboard=True)
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        with pytest.raises(UnavailableError, match="pip install tensorboard"):
            fit(SHORT, tmp_path, source=DiscsAndNoise(96), execution=execution)
        return
    fit(SHORT, tmp_path, source=DiscsAndNoise(96), execution=execution)
    assert list((tmp_path / "tensorboard").iterdir())


_TWO = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from ionmorphnet.training.fit import Execution, fit
from ionmorphnet.training.recipe import Phase, Recipe
from ionmorphnet.training.validation import Validation
from training_sources import DiscsAndNoise

recipe = Recipe(phases=(Phase(32, 48, 8),), compile=False, precision="f32", learning_rate=1e-3, drop_path=0.0,
                ranking_weight=0.0, augmentation="none")
fit(recipe, Path({out!r}), source=DiscsAndNoise(96), validation=Validation(DiscsAndNoise(8), every=24),
    execution=Execution(workers=0, threads=1, log_steps=1))
"""


def test_two_processes_learn_what_one_does(tmp_path: Path) -> None:
    """Without random drops and ranking across the batch, two halves average to the whole, up to rounding."""
    script = tmp_path / "two.py"
    tests = str(ROOT / "tests")
    script.write_text(_TWO.format(tests=tests, out=str(tmp_path / "two")))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(script)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, env=environment)
    assert done.returncode == 0, done.stderr  # whole: the cause precedes what the launcher says of it
    code = _TWO.format(tests=tests, out=str(tmp_path / "one"))
    exec(compile(code, "one", "exec"), {})
    one, two = (_weights(tmp_path / name) for name in ("one", "two"))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=2e-4, rtol=1e-2, msg=name)
    start = make_network(replace(SHORT, drop_path=0.0)).state_dict()
    assert max(float((one[name] - two[name]).abs().max()) for name in one) < 0.1 * max(
        float((one[name] - start[name]).abs().max()) for name in one
    )
    rows = [_rows(tmp_path / name / "validation.csv") for name in ("one", "two")]
    assert [row["step"] for row in rows[0]] == [row["step"] for row in rows[1]] == ["3", "6"]
    assert float(rows[0][1]["loss"]) == pytest.approx(float(rows[1][1]["loss"]), abs=1e-2)


def test_the_first_signal_saves_and_the_second_interrupts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupt(at: Progress) -> None:
        if at.step == 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Cancelled, match="stopped at step 3 of 12"):
        fit(SHORT, tmp_path, source=DiscsAndNoise(96), execution=HERE, progress=interrupt)
    assert load_file(tmp_path / "last.pt", "step")["step"] == 3
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with runtime.stop_requests() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_the_compiled_network_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fast:
        """As torch's: callable, and without the length it seems to have."""

        calls = 0

        def __len__(self) -> int:
            raise TypeError("does not support len()")

        def __call__(self, *inputs: object) -> dict[str, torch.Tensor]:
            Fast.calls += 1
            return {"logits": torch.ones(1, 6)}

    monkeypatch.setattr(torch, "compile", lambda module, **options: Fast())
    network = Compiled(torch.nn.Identity())
    assert network.run(lambda: network(torch.zeros(1), None))["logits"].sum() == 6.0
    assert Fast.calls == 1
