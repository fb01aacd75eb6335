"""``ionmorphnet export``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import click

from ionmorphnet.base.errors import UnavailableError
from ionmorphnet.base.units import format_bytes
from ionmorphnet.cli._shared import spinner

if TYPE_CHECKING:
    from ionmorphnet.models.networks.folder import ModelConfig

_EXTRA = {"torch", "onnx", "onnxscript", "safetensors"}


class _Options(TypedDict, total=False):
    name: str
    licence: str
    images: int


@click.command()
@click.argument("weights", type=click.Path(path_type=Path), required=False, metavar="[WEIGHTS.pt]")
@click.option(
    "--from-checkpoint",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Convert a published checkpoint: a folder with run_meta.json and best_model.pt.",
)
@click.option(
    "--from-model", metavar="NAME_OR_FOLDER", help="Copy a model and derive model.safetensors from its model.onnx."
)
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), required=True, metavar="OUT", help="Model folder to write."
)
@click.option("--name", help="Name of the model.  [default: name of OUT]")
@click.option("--licence", help="Licence of the weights, stored in config.json.")
@click.option(
    "--data", help="One line about the training data for config.json.  [default: as recorded by the training]"
)
@click.option(
    "--images",
    type=click.IntRange(20),
    metavar="N",
    help="Simulated images for calibration and threshold, or for the check of a checkpoint.  [default: 1500 or 64]",
)
@click.option("--int8", is_flag=True, help="Also write an 8-bit network for --precision int8; requires [int8].")
@click.option("--json", "as_json", is_flag=True, help="Print config.json.")
def export(
    weights: Path | None,
    from_checkpoint: Path | None,
    from_model: str | None,
    out: Path,
    name: str | None,
    licence: str | None,
    data: str | None,
    images: int | None,
    int8: bool,
    as_json: bool,
) -> None:
    """Write the model folder OUT; `ionmorphnet pick --model OUT` then uses it.

    The source is WEIGHTS.pt from `ionmorphnet train`, which is calibrated on simulated images; or --from-checkpoint, in
    the published layout with one channel and six classes; or --from-model, to add a missing model.safetensors. The
    exported network is compared with torch before anything is written. Requires the extra [train].
    """
    if sum(source is not None for source in (weights, from_checkpoint, from_model)) != 1:
        raise click.UsageError("give exactly one of WEIGHTS.pt, --from-checkpoint DIR and --from-model NAME_OR_FOLDER")
    options: _Options = {}
    if name is not None:
        options["name"] = name
    if licence is not None:
        options["licence"] = licence
    if images is not None:
        options["images"] = images
    given = [*options, *(["data"] if data is not None else [])]
    if from_model is not None and given:
        raise click.UsageError(f"--{given[0]} cannot be combined with --from-model, which copies the model unchanged")
    if from_checkpoint is not None and data is not None:
        raise click.UsageError("--data cannot be combined with --from-checkpoint, which uses its run_meta.json")
    with spinner(f"exporting {out}"):
        config = _export(weights, from_checkpoint, from_model, out, data, options)
        if int8:
            from ionmorphnet import quantise_model

            config["int8"] = quantise_model(out)
    if as_json:
        click.echo(json.dumps(config, indent=2))
        return
    for line in _summary(config):
        click.echo(line)
    for path in sorted(out.iterdir()):
        click.echo(f"  {path} ({format_bytes(path.stat().st_size)})")


def _export(
    weights: Path | None, checkpoint: Path | None, model: str | None, out: Path, data: str | None, options: _Options
) -> ModelConfig:
    try:
        from ionmorphnet import derive_safetensors, export_checkpoint, export_model
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA:
            raise
        raise UnavailableError(
            f"export requires the extra [train] (module {error.name} not found): pip install 'ionmorphnet[train]'"
        ) from None
    if checkpoint is not None:
        return export_checkpoint(checkpoint, out, **options)
    if model is not None:
        return derive_safetensors(model, out)
    assert weights is not None
    return export_model(weights, out, data=data, **options)


def _summary(config: ModelConfig) -> list[str]:
    metrics = config.get("metrics", {})
    lines = [
        f"{config['name']}: {config['architecture']}, {config['preprocessing']}, threshold {config['threshold']:g}"
    ]
    if choice := config.get("threshold_choice"):
        lines[-1] += f" ({choice})"
    if (parity := metrics.get("onnx_against_torch_max_logit_difference")) is not None:
        lines.append(f"float32: outputs differ from torch by at most {parity:.1e}")
    bf16 = metrics.get("bf16_against_f32")
    if isinstance(bf16, dict):
        same, correlation = bf16["same_class"], _number(bf16["spearman_of_score"])
        lines.append(f"bfloat16: same class for {same:.1%}, rank correlation of the score {correlation}")
    elif bf16 is not None:
        lines.append(f"bfloat16: {bf16}")
    if int8 := config.get("int8"):
        correlation = _number(int8["spearman_of_score"])
        lines.append(f"int8: same class for {int8['same_class']:.1%}, rank correlation of the score {correlation}")
    return lines


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"
