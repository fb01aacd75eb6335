"""``ionmorphnet info``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

import ionmorphnet as imn
from ionmorphnet.base.units import format_bytes


@click.command()
@click.argument("file", type=click.Path(path_type=Path, readable=False), required=False)
@click.option("--system", is_flag=True, help="Show versions, CPU and GPUs, and why a GPU is not used.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a table.")
def info(file: Path | None, system: bool, as_json: bool) -> None:
    """Show what the header of FILE declares. The spectra are not read (see validate).

    With --system instead of FILE: build options, software and devices of this machine.
    """
    if system == (file is not None):
        raise click.UsageError("pass either FILE or --system")
    facts = imn.build_info() if file is None else imn.read_info(file).to_dict()
    if as_json:
        click.echo(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    rows = _system_rows(facts) if file is None else {key.replace("_", " "): value for key, value in facts.items()}
    texts = {key: _text(value) for key, value in rows.items() if value not in (None, "", [], {})}
    width = max(map(len, texts))
    for key, text in texts.items():
        # Plain text without wrapping: a path broken over two lines cannot be copied.
        lines = text.splitlines()
        click.echo(click.style(key.ljust(width), bold=True) + "  " + f"\n{'':{width + 2}}".join(lines))


def _system_rows(info: dict[str, Any]) -> dict[str, Any]:
    """Rows of the --system table; the last one says what ``device="auto"`` selects and why."""
    cuda = info["cuda"]
    bf16 = {True: ", bf16", False: ", no bf16", None: ""}[info["bf16"]]
    built = (
        f"built with {cuda['toolkit']} for {' '.join(cuda['architectures'])}" if cuda["built"] else "not in this build"
    )
    driver = f"runs up to CUDA {cuda['driver']}" if cuda["driver"] else "none found"
    rows = {
        "ionmorphnet": f"{info['version']} ({info['compiler']})",
        "python": f"{info['python']} on {info['platform']}",
        "cpu": f"{info['threads']} threads{bf16}",
        "openvino": info["openvino"] or "not in this build",
        "libraries": ", ".join(f"{name} {version}" for name, version in info["libraries"].items() if version),
        "cuda": built,
        "driver": driver if cuda["built"] else "",  # a build without CUDA does not look for a driver
    }
    rows |= {gpu["device"]: _gpu_text(gpu) for gpu in cuda["devices"]}
    rows["device=auto"] = info["auto"]
    if cuda["reason"]:
        rows["device=auto"] += f" (no GPU: {cuda['reason']})\nto use one: {cuda['remedy']}"
    return rows


def _gpu_text(gpu: dict[str, Any]) -> str:
    text = f"{gpu['name']}, compute capability {gpu['compute_capability']}, {format_bytes(gpu['memory_bytes'])}"
    return text if gpu["usable"] else f"{text}\nnot usable: {gpu['reason']}"


def _text(value: object) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{key}: {_text(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(item) for item in value)
    return str(value)
