"""``ionmorphnet engine``."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ionmorphnet import engine as engines
from ionmorphnet.base.json_output import plain
from ionmorphnet.base.units import format_bytes
from ionmorphnet.cli._shared import log_shown, progress_bar, spinner
from ionmorphnet.models.model import DEFAULT_MODEL, load_model

Command = Callable[..., None]

_FILE = click.Path(path_type=Path, readable=False)
_cache_dir = click.option(
    "--cache-dir", type=_FILE, metavar="DIR", help="Folder of the engine cache; default: the platform's cache folder."
)
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def engine() -> None:
    """Build TensorRT engines of model folders, say whether this machine can run one, list the cache.

    Needs the extra [tensorrt] or [tensorrt-rtx]. No engine has been run on a GPU by this version's tests.
    """


@engine.command(short_help="Build the engine of a model.")
@click.argument("model", metavar="[MODEL]", default=DEFAULT_MODEL)
@click.option("-o", "--out", type=_FILE, metavar="FILE", help="Engine to write; default: into the cache.")
@click.option(
    "--target",
    "targets",
    multiple=True,
    default=("current",),
    metavar="sm_NN|current",
    help="GPU to build for: its compute capability, or the GPU of this machine (the default). May be repeated, or "
    "several with commas. Building for a GPU that is not here needs [tensorrt-rtx].",
)
@click.option(
    "--precision",
    type=click.Choice(["auto", *engines.PRECISIONS]),
    default="auto",
    show_default=True,
    help="auto: bf16, or fp16 where a target has no bf16.",
)
@click.option(
    "--batch", type=click.IntRange(1), default=engines.DEFAULT_BATCH, show_default=True, help="Images of each call."
)
@click.option("--flavour", type=click.Choice(["tensorrt", "tensorrt_rtx"]), help="Module; default: what fits.")
@click.option("--device", "index", type=click.IntRange(0), default=0, help="Number of the GPU that `current` means.")
@_cache_dir
@_as_json
def build(
    model: str,
    out: Path | None,
    targets: tuple[str, ...],
    precision: str,
    batch: int,
    flavour: str | None,
    index: int,
    cache_dir: Path | None,
    as_json: bool,
) -> None:
    """Build the engine of MODEL (a bundled name or a model folder; default: the bundled model).

    The engine computes in 16 bit with float32 where it must be, takes batches of one size, and gets a sidecar,
    FILE.json, that says what it depends on. Without -o it goes into the cache; one that is there already is used.
    """
    with log_shown(), spinner(f"building the engine of {model}"):
        built = engines.build_engine(
            model,
            out,
            targets=targets,
            precision=precision,
            batch=batch,
            flavour=flavour,
            device_index=index,
            cache_dir=cache_dir,
        )
    if as_json:
        click.echo(json.dumps({"path": str(built.path)} | built.to_dict(), indent=2))
        return
    for line in _described(built):
        click.echo(line)


@engine.command(short_help="What an engine is, and whether this machine can run it.")
@click.argument("file", type=_FILE, metavar="FILE")
@_as_json
def info(file: Path, as_json: bool) -> None:
    """Check FILE against its sidecar and say whether this machine can run it. TensorRT does not see the file.

    A damaged or foreign file is an error (exit code 2); an engine for another machine is not.
    """
    found, _ = engines.read_engine(file)
    reason = engines.why_not_runnable(found)
    if as_json:
        click.echo(json.dumps({"path": str(file)} | found.to_dict() | {"refused": reason}, indent=2))
        return
    for line in _described(found):
        click.echo(line)
    click.echo("  runs here: " + (f"no: {reason}" if reason else "yes, as far as the sidecar tells"))


@engine.command(short_help="List the engine cache, or empty it.")
@click.option("--clear", is_flag=True, help="Remove all engines of the cache.")
@_cache_dir
@_as_json
def cache(clear: bool, cache_dir: Path | None, as_json: bool) -> None:
    """List the engines of the cache, or remove them with --clear."""
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


@engine.command(short_help="What 16 bit costs in accuracy, without a GPU.")
@click.argument("model", metavar="[MODEL]", default=DEFAULT_MODEL)
@click.option("--precision", type=click.Choice(["bf16", "fp16"]), multiple=True, help="May be repeated; default: both.")
@click.option("--images", type=click.IntRange(2), default=32, show_default=True, help="Number of simulated images.")
@click.option("--set", "sets", multiple=True, type=_FILE, metavar="NPZ", help="Labelled real images beside them.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
@_as_json
def check(
    model: str, precision: tuple[str, ...], images: int, sets: tuple[Path, ...], quiet: bool, as_json: bool
) -> None:
    """Compare the typed graph of MODEL with its float32 network, and say how far its numbers are from overflow.

    The graph that an engine is built from is computed on the CPU with rounding at every node, half a second an image.
    The extreme inputs (all ones, checkerboards, single pixels) serve the range, few of them are ion images.
    """
    loaded = load_model(model)
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


def _row(each: Any) -> tuple[str, ...]:
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
