"""``ionmorphnet export``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ionmorphnet.base.errors import UnavailableError
from ionmorphnet.base.units import format_bytes
from ionmorphnet.cli._shared import spinner

_EXTRA = {"torch", "onnx", "onnxscript", "safetensors"}


@click.command()
@click.argument("weights", type=click.Path(path_type=Path), required=False, metavar="[WEIGHTS.pt]")
@click.option("--from-checkpoint", type=click.Path(path_type=Path), metavar="DIR", help="run_meta.json, best_model.pt.")
@click.option("--from-model", metavar="NAME_OR_FOLDER", help="Copy a model and derive its model.safetensors.")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), required=True, metavar="OUT", help="Model folder to write."
)
@click.option("--name", help="Name of the model; default: the folder's name.")
@click.option("--licence", help="Licence of the weights, recorded in config.json.")
@click.option("--data", help="One line on the training data for config.json; default: what the training recorded.")
@click.option(
    "--images",
    type=click.IntRange(20),
    metavar="N",
    help="Simulated images for calibration and threshold (default 1500), or for a checkpoint's check (default 64).",
)
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
    as_json: bool,
) -> None:
    """Write the model folder OUT; `ionmorphnet pick --model OUT` then uses it.

    One source: WEIGHTS.pt (written by `ionmorphnet train`; calibrated on simulated images), --from-checkpoint (the
    published layout: one channel, six classes) or --from-model (a folder without model.safetensors gets one).
    Networks are compared with torch before anything is written. Needs the extra [train].
    """
    if sum(source is not None for source in (weights, from_checkpoint, from_model)) != 1:
        raise click.UsageError("one source is needed: WEIGHTS.pt, --from-checkpoint DIR or --from-model NAME_OR_FOLDER")
    given: dict[str, Any] = {"name": name, "licence": licence, "data": data, "images": images}
    options = {key: value for key, value in given.items() if value is not None}
    if from_model is not None and options:
        raise click.UsageError(f"--{next(iter(options))} does not go with --from-model: the model is copied as it is")
    if from_checkpoint is not None and data is not None:
        raise click.UsageError("--data does not go with --from-checkpoint: its run_meta.json says what is known")
    with spinner(f"exporting {out}"):
        config = _export(weights, from_checkpoint, from_model, out, options)
    if as_json:
        click.echo(json.dumps(config, indent=2))
        return
    for line in _summary(config):
        click.echo(line)
    for path in sorted(out.iterdir()):
        click.echo(f"  {path} ({format_bytes(path.stat().st_size)})")


def _export(
    weights: Path | None, checkpoint: Path | None, model: str | None, out: Path, options: dict[str, Any]
) -> dict[str, Any]:
    try:
        from ionmorphnet.models.networks.derive import derive_safetensors
        from ionmorphnet.training.checkpoints import export_checkpoint
        from ionmorphnet.training.export import export_model
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA:
            raise
        raise UnavailableError(
            f"export needs the extra [train] (there is no module {error.name}): pip install 'ionmorphnet[train]'"
        ) from None
    if checkpoint is not None:
        return export_checkpoint(checkpoint, out, **options)
    if model is not None:
        return derive_safetensors(model, out)
    assert weights is not None
    return export_model(weights, out, **options)


def _summary(config: dict[str, Any]) -> list[str]:
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
    return lines


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"
