"""``ionmorphnet info``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

import ionmorphnet as imn
from ionmorphnet.base.units import format_bytes
from ionmorphnet.io.dataset import open_quietly
from ionmorphnet.io.layout_facts import LayoutFacts, layout_facts
from ionmorphnet.io.regions import regions_text
from ionmorphnet.io.sizes import pixel_size_text, pixels_text
from ionmorphnet.io.spectrum_kinds import SpectrumFacts


@click.command()
@click.argument("file", type=click.Path(path_type=Path, readable=False), required=False)
@click.option("--system", is_flag=True, help="Show versions, CPU and GPUs, and why a GPU is not used.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a table.")
def info(file: Path | None, system: bool, as_json: bool) -> None:
    """Show what the header of FILE declares, what its spectra are, where its pixels lie, and what is odd about that.

    The spectra are not read (see validate). Sections that lie side by side are listed as regions; pick --regions picks
    them one by one.

    With --system instead of FILE: build options, software and devices of this machine.
    """
    if system == (file is not None):
        raise click.UsageError("pass either FILE or --system")
    if file is None:
        system_facts = imn.build_info()
        facts: object = system_facts
        rows = _system_rows(system_facts)
    else:
        declared = imn.read_info(file)
        layout, kinds, problem = _opened(file)
        found = {"problem": problem} if layout is None else layout.to_dict()
        facts = {**declared.to_dict(), "kinds": {} if kinds is None else kinds.to_dict(), "positions": found}
        rows = _file_rows(declared)
        # Rows of the same name keep their place.
        rows |= {} if kinds is None else {key: text for key, text in kinds.rows().items() if text}
        rows |= _layout_rows(layout, problem)
    if as_json:
        click.echo(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    texts = {key: text for key, text in rows.items() if text}
    width = max(map(len, texts))
    for key, text in texts.items():
        # Plain text without wrapping: a path broken over two lines cannot be copied.
        lines = text.splitlines()
        click.echo(click.style(key.ljust(width), bold=True) + "  " + f"\n{'':{width + 2}}".join(lines))


def _file_rows(info: imn.FileInfo) -> dict[str, str]:
    """Rows of the table for a file; empty texts are left out of it."""
    width, height = info.max_count
    return {
        "file": info.path,
        "size": format_bytes(info.size_bytes),
        "ibd": info.ibd_path or "not found",
        "ibd size": "" if info.ibd_size_bytes is None else format_bytes(info.ibd_size_bytes),
        "mode": info.mode or "",
        "spectrum type": info.spectrum_type or "",
        "spectra": "" if info.n_spectra is None else f"{info.n_spectra:,}",
        "declared grid": "" if width is None or height is None else pixels_text((height, width)),
        "pixel size": "" if info.pixel_size_um is None else pixel_size_text(info.pixel_size_um),
        "ms level": "",
        "polarity": info.polarity or "",
        "runs": "",
        "scan filters": "",
        "instrument": ", ".join(info.instrument),
        "software": ", ".join(info.software),
        "source file": ", ".join(info.source_file),
        "other arrays": ", ".join(info.other_arrays),
        "uuid": info.uuid or "",
        "checksums": "\n".join(f"{name}: {value}" for name, value in info.checksums.items()),
    }


def _opened(file: Path) -> tuple[LayoutFacts | None, SpectrumFacts | None, str]:
    """Where the pixels lie and what the spectra are; None and the reason if the file cannot be opened."""
    try:
        with open_quietly(file, strict=False) as ds:  # the warnings are a row of the table
            return layout_facts(ds), SpectrumFacts.of(ds), ""
    except imn.IonMorphNetError as error:
        return None, None, " ".join(str(error).split())


def _layout_rows(layout: LayoutFacts | None, problem: str) -> dict[str, str]:
    """Rows on the positions and the warnings."""
    if layout is None:
        return {"positions": f"not read: {problem}"}
    several = len(layout.z_planes) > 1
    size = layout.pixel_size_um
    regions = [
        f"z={z}, {line}" if several else line
        for z, found in layout.regions.items()
        for line in (regions_text(found) if len(found) > 1 or several else [])
    ]
    if regions and layout.left_out:
        regions.append(f"{layout.left_out:,} pixel{'s' if layout.left_out > 1 else ''} in no region: fragments")
    step = layout.coordinate_step
    return {
        "measured": f"{layout.n_pixels:,} pixels of a grid of {pixels_text((layout.height, layout.width))}",
        "pixel size": "" if size is None else pixel_size_text(size),
        "z planes": ", ".join(map(str, layout.z_planes[:12])) + (" ..." if len(layout.z_planes) > 12 else "")
        if several
        else "",
        "step": "" if step[:2] == (1, 1) else f"{step[0]} in x, {step[1]} in y, in units of the written positions",
        "regions": "\n".join(regions),
        "warnings": "\n".join(layout.warnings),
    }


def _system_rows(info: Mapping[str, Any]) -> dict[str, str]:
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
        rows["device=auto"] += f" (GPU not used: {cuda['reason']})\nto use one: {cuda['remedy']}"
    return rows


def _gpu_text(gpu: dict[str, Any]) -> str:
    text = f"{gpu['name']}, compute capability {gpu['compute_capability']}, {format_bytes(gpu['memory_bytes'])}"
    return text if gpu["usable"] else f"{text}\nnot usable: {gpu['reason']}"
