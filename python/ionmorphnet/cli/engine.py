"""``ionmorphnet engine``."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import click

import ionmorphnet as imn
from ionmorphnet import engine as engines
from ionmorphnet.base.devices import Device
from ionmorphnet.base.json_output import plain
from ionmorphnet.base.units import format_bytes
from ionmorphnet.cli._shared import log_shown, progress_bar, spinner

Command = Callable[..., None]

_FILE = click.Path(path_type=Path, readable=False)
_cache_dir = click.option(
    "--cache-dir",
    type=_FILE,
    metavar="DIR",
    help="Folder of the engine cache; default: the cache folder of the platform.",
)
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def engine() -> None:
    """Build TensorRT engines of model folders, check whether this machine can run them, manage the cache.

    Needs the extra [tensorrt] or [tensorrt-rtx]. The tests of this version have not run an engine on a GPU.
    """


@engine.command(short_help="Build the engine of a model.")
@click.argument("model", metavar="[MODEL]", default=imn.DEFAULT_MODEL)
@click.option("-o", "--out", type=_FILE, metavar="FILE", help="Engine file to write; default: in the cache.")
@click.option(
    "--target",
    "targets",
    multiple=True,
    default=("current",),
    metavar="sm_NN|current",
    help="Compute capability to build for; default: the GPU of this machine. Repeat the option or separate names by "
    "commas for several. Building for a GPU of another machine needs [tensorrt-rtx].",
)
@click.option(
    "--precision",
    type=click.Choice(["auto", *engines.PRECISIONS]),
    default="auto",
    show_default=True,
    help="auto: bf16, or fp16 if a target lacks bf16.",
)
@click.option(
    "--batch", type=click.IntRange(1), default=engines.DEFAULT_BATCH, show_default=True, help="Images per call."
)
@click.option(
    "--flavour",
    type=click.Choice(["tensorrt", "tensorrt_rtx"]),
    help="TensorRT module; default: an installed one that supports the target.",
)
@click.option("--device", default="cuda", show_default=True, metavar="cuda[:N]", help="The GPU that `current` means.")
@_cache_dir
@_as_json
def build(
    model: str,
    out: Path | None,
    targets: tuple[str, ...],
    precision: str,
    batch: int,
    flavour: str | None,
    device: str,
    cache_dir: Path | None,
    as_json: bool,
) -> None:
    """Build the engine of MODEL, a bundled name or a model folder (default: the bundled model).

    The engine computes in 16 bit, in float32 where needed, with a fixed batch size. Its sidecar FILE.json records
    everything it depends on. Without -o the engine is stored in the cache, and a matching one is reused.
    """
    with log_shown(), spinner(f"building the engine of {model}"):
        built = engines.build_engine(
            model,
            out,
            targets=targets,
            precision=precision,
            batch=batch,
            flavour=flavour,
            device=Device.parse(device),
            cache_dir=cache_dir,
        )
    if as_json:
        click.echo(json.dumps({"path": str(built.path)} | built.to_dict(), indent=2))
        return
    for line in _described(built):
        click.echo(line)


@engine.command(short_help="Describe an engine and check whether this machine can run it.")
@click.argument("file", type=_FILE, metavar="FILE")
@_as_json
def info(file: Path, as_json: bool) -> None:
    """Check FILE against its sidecar and report whether this machine can run it, without loading it in TensorRT.

    A damaged or foreign file is an error (exit code 2); an engine for another machine is not.
    """
    found, _ = engines.read_engine(file)
    reason = engines.why_not_runnable(found)
    if as_json:
        click.echo(json.dumps({"path": str(file)} | found.to_dict() | {"refused": reason}, indent=2))
        return
    for line in _described(found):
        click.echo(line)
    click.echo("  runs on this machine: " + (f"no: {reason}" if reason else "yes, according to the sidecar"))


@engine.command(short_help="List or clear the engine cache.")
@click.option("--clear", is_flag=True, help="Remove all engines from the cache.")
@_cache_dir
@_as_json
def cache(clear: bool, cache_dir: Path | None, as_json: bool) -> None:
    """List the engines in the cache, or remove them with --clear."""
    folder = engines.cache_folder(cache_dir)
    if clear:
        removed = engines.clear_cache(cache_dir)
        text = f"{folder}: {_count(len(removed))} removed"
        click.echo(json.dumps([str(path) for path in removed]) if as_json else text)
        return
    with log_shown():
        found = engines.cached_engines(cache_dir)
    if as_json:
        click.echo(json.dumps([{"path": str(each.path)} | each.to_dict() for each in found], indent=2))
        return
    total = sum(each.n_bytes for each in found)
    click.echo(f"{folder}: {_count(len(found))}" + (f", {format_bytes(total)}" if found else ""))
    for each in found:
        click.echo(f"  {each.path.name} ({format_bytes(each.n_bytes)})")


@engine.command(short_help="Measure the accuracy of 16 bit without a GPU.")
@click.argument("model", metavar="[MODEL]", default=imn.DEFAULT_MODEL)
@click.option("--precision", type=click.Choice(["bf16", "fp16"]), multiple=True, help="May be repeated; default: both.")
@click.option("--images", type=click.IntRange(2), default=32, show_default=True, help="Number of simulated images.")
@click.option("--set", "sets", multiple=True, type=_FILE, metavar="NPZ", help="Additional labelled images.")
@click.option("--quiet", is_flag=True, help="Hide the progress bar.")
@_as_json
def check(
    model: str, precision: tuple[str, ...], images: int, sets: tuple[Path, ...], quiet: bool, as_json: bool
) -> None:
    """Compare the typed graph of MODEL with its float32 network, and report its distance from overflow.

    Evaluates the graph of an engine on the CPU with rounding at each node, about half a second per image. The set of
    extreme inputs (all ones, checkerboards, single pixels) tests the range; few of them resemble ion images.
    """
    loaded = imn.load_model(model)
    prepared = engines.check_inputs(loaded, images, sets)
    chosen = precision or ("bf16", "fp16")
    with progress_bar("checking", "sets", quiet=quiet) as progress:
        done = engines.check_model(loaded, chosen, prepared, progress=progress)
    if as_json:
        click.echo(json.dumps(plain([asdict(each) for each in done]), indent=2))
        return
    click.echo(f"{loaded.name}: typed graph against float32")
    rows: list[tuple[str, ...]] = [
        ("", "set", "images", "logits max", "rms", "Spearman", "top-1", "largest value", "from overflow")
    ]
    rows += [_row(each) for each in done]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [text.ljust(w) if i < 2 else text.rjust(w) for i, (text, w) in enumerate(zip(row, widths, strict=True))]
        click.echo("  " + "  ".join(cells).rstrip())


def _row(each: engines.Checked) -> tuple[str, ...]:
    a = each.agreement
    return (
        each.precision,
        each.name,
        str(a.images),
        f"{a.max_difference:.4f}",
        f"{a.rms_difference:.5f}",
        f"{a.spearman:.5f}",
        f"{a.top1:.1%}",
        f"{each.largest:.4g}",
        f"{each.margin:.3g} x",
    )


def _described(each: engines.EngineFile) -> list[str]:
    key = each.key
    shapes = ", ".join(f"{t['role']} {'x'.join(map(str, t['shape']))} {t['dtype']}" for t in key.tensors())
    return [
        f"{each.path} ({format_bytes(each.n_bytes)})",
        f"  model: {each.model} (ONNX {key.onnx_sha256[:12]}), {key.precision}",
        f"  built by: {key.flavour} {key.version} for {', '.join(key.targets)}" + (f" on {key.gpu}" if key.gpu else ""),
        f"  tensors: {shapes}",
        f"  sha256: {each.sha256[:12]}, key {key.digest[:12]}",
    ]


def _count(n: int) -> str:
    return f"{n} engine{'' if n == 1 else 's'}"
