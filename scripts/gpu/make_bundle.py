"""Packs device-bundle/ for a GPU machine without network access; scripts/gpu/bundle/README.md describes it.

python scripts/gpu/make_bundle.py [--python 3.12] [--out device-bundle] [--without GROUP]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = Path(__file__).resolve().parent / "bundle"
# Size limit of one copy to the machine: a part together with the tracked tree.
LIMIT = 60 << 20
# Room for the manifest, README and install script, which go with every part.
MARGIN = 1 << 20
# Wheels of this size or larger are recompressed.
LARGE = 16 << 20
MACHINE = "x86_64"
# pip matches the minor version exactly.
PLATFORMS = [f"manylinux_2_{minor}_{MACHINE}" for minor in (28, 27, 26, 24, 17, 12, 5)]
PLATFORMS += [f"manylinux{year}_{MACHINE}" for year in ("2014", "2010", "1")]
# In packing order: the first parts suffice to build and test.
GROUPS: dict[str, list[str]] = {
    "build and test": [
        "scikit-build-core",
        "pybind11",
        "ninja",
        "pandas",
        "click",
        "rich",
        "jinja2",
        "pillow",
        "lazy-loader",
        "platformdirs",
        "werkzeug",
        "pytest",
        "hypothesis",
    ],
    "networks": ["safetensors", "onnx"],
    "openvino": ["openvino"],
    "tensorrt-rtx": ["tensorrt-rtx-cu13-libs", "tensorrt-rtx-cu13-bindings"],
}
# Installed without dependencies: published as source only, or the dependencies are needed for writing files only.
FROM_SOURCE = {"build and test": ["pyimzML"], "tensorrt-rtx": ["tensorrt-rtx", "tensorrt-rtx-cu13"]}
# Parts of a package that no test or benchmark needs: OpenVINO's other devices and formats make up two thirds of it.
# Libraries of formats become empty files because OpenVINO's CMake package checks that they exist.
LEFT_OUT = {"openvino": r"intel_(npu|gpu)_plugin|libs/cache\.json"}
EMPTIED = {"openvino": r"(paddle|tensorflow|tensorflow_lite|gguf|jax|pytorch)_frontend"}
# Only data under licences that require nothing beyond their notice.
DATA = ["README.md", "imzml_small", "bladder79", "ion_images/bladder79.npz", "ion_images/bladder79_labels.csv"]
HEADER_PACKAGES = ["libexpat1-dev", "zlib1g-dev", "nlohmann-json3-dev", "libexpat1", "zlib1g"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default="3.12", help="Python version on the machine (default 3.12)")
    parser.add_argument("--out", type=Path, default=ROOT / "device-bundle")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="test data")
    parser.add_argument("--without", action="append", default=[], choices=list(GROUPS), help="leave a group out")
    arguments = parser.parse_args()
    out: Path = arguments.out
    limit = LIMIT - tracked_bytes() - MARGIN
    if limit < 1 << 20:
        raise SystemExit("the tracked files leave no room for a part")
    if out.exists():
        if not (out / "manifest.json").is_file():
            raise SystemExit(f"{out}: exists and is not a device bundle; remove it or choose another folder")
        shutil.rmtree(out)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        entries = [headers(work)]
        entries += test_data(arguments.data, work)
        for group, packages in GROUPS.items():
            if group not in arguments.without:
                known = {entry["package"] for entry in entries if entry["kind"] == "wheel"}
                found = wheels(group, packages, arguments.python, work)
                entries += [entry for entry in found if entry["package"] not in known]
        parts = pack(entries, work, out, limit)
    describe(out, arguments.python, limit, parts)
    (out / "manifest.json").write_text(json.dumps({"python": arguments.python, "files": entries}, indent=1) + "\n")
    shutil.copy(SOURCE / "install.py", out / "install.py")
    for part, names in parts.items():
        size = sum(path.stat().st_size for path in (out / part).iterdir())
        assert size <= limit, (part, size)
        print(f"{part}  {size / 2**20:5.1f} MiB  {', '.join(names)}")
    return 0


def tracked_bytes() -> int:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return sum((ROOT / name).stat().st_size for name in listed.split("\0") if name and (ROOT / name).is_file())


def wheels(group: str, packages: list[str], python: str, work: Path) -> list[dict]:
    """Downloads wheels and their dependencies, except torch and numpy, which the machine must have."""
    folder = work / group
    folder.mkdir()
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    target = ["--only-binary=:all:", "--implementation", "cp", "--python-version", python]
    for platform in PLATFORMS:
        target += ["--platform", platform]
    constraints = ["-c", str(ROOT / "constraints.txt")]
    commands = [[*pip, "download", "-q", *target, *constraints, "-d", str(folder), *packages]]
    if sources := FROM_SOURCE.get(group):
        commands.append([*pip, "wheel", "-q", "--no-deps", *constraints, "-w", str(folder), *sources])
    for command in commands:
        if subprocess.run(command).returncode != 0:
            raise SystemExit(f"pip could not download {group} for Python {python}")
    tag = "cp" + python.replace(".", "")
    entries = []
    for path in sorted(folder.glob("*.whl"), key=lambda p: p.stat().st_size):
        package, version, *_, interpreter, abi, platform = path.stem.split("-")
        fits = interpreter in (tag, "py3", "py2.py3") or abi == "abi3"
        if not fits or not (platform == "any" or MACHINE in platform):
            raise SystemExit(f"{path.name}: not a wheel for Python {python} on {MACHINE}")
        name = package.lower().replace("_", "-")
        if name in ("numpy", "torch"):
            continue
        if path.stat().st_size > LARGE or name in LEFT_OUT:
            path = smaller(path, LEFT_OUT.get(name), EMPTIED.get(name), work)
        entries.append({"kind": "wheel", "name": path.name, "package": name, "version": version, "from": str(path)})
    return entries


def smaller(wheel: Path, left_out: str | None, emptied: str | None, work: Path) -> Path:
    """Recompresses a wheel with LZMA, dropping or emptying the files whose names match the patterns."""
    folder = work / "smaller"
    folder.mkdir(exist_ok=True)
    target = folder / wheel.name
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_LZMA) as new:
        for info in old.infolist():
            if left_out is None or not re.search(left_out, info.filename):
                empty = emptied is not None and re.search(emptied, info.filename)
                new.writestr(info.filename, b"" if empty else old.read(info))
    return target


def headers(work: Path) -> dict:
    """Packs the expat, zlib and nlohmann-json headers and libraries of the installed system packages."""
    found = subprocess.run(["dpkg-query", "-L", *HEADER_PACKAGES], capture_output=True, text=True)
    if found.returncode != 0:
        raise SystemExit(f"install the packages {', '.join(HEADER_PACKAGES)}: {found.stderr.strip()}")
    prefix = work / "prefix"
    for line in found.stdout.splitlines():
        path = Path(line)
        if path.is_relative_to("/usr/include/nlohmann") and path.is_file():
            target = prefix / "include" / path.relative_to("/usr/include")
        elif path.suffix == ".h" and path.is_file() and path.is_relative_to("/usr/include"):
            target = prefix / "include" / path.name
        elif re.search(r"\.so(\.\d+)*$", path.name):
            target = prefix / "lib" / path.name
        else:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)  # copies instead of links: the prefix must not refer to files outside it
    archive = work / "prefix.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(prefix, ".")
    return {"kind": "archive", "name": archive.name, "to": "prefix", "from": str(archive)}


def test_data(data: Path, work: Path) -> list[dict]:
    present = [name for name in DATA if (data / name).exists()]
    if not present:
        print(f"{data}: no test data found; the bundle will have none", file=sys.stderr)
        return []
    archive = work / "data.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name in present:
            tar.add(data / name, name)
    return [{"kind": "archive", "name": archive.name, "to": "data", "from": str(archive)}]


def pack(entries: list[dict], work: Path, out: Path, limit: int) -> dict[str, list[str]]:
    """Fills the parts in order; a file that does not fit continues in the next part."""
    parts: dict[str, list[str]] = {}
    room = 0
    for entry in entries:
        path = Path(entry.pop("from"))
        entry["size"], entry["sha256"], entry["pieces"] = path.stat().st_size, digest(path.read_bytes()), []
        content = path.read_bytes()
        at = 0
        while at < len(content):
            # Start a new part rather than cut off a small piece.
            if room < min(len(content) - at, 4 << 20):
                parts[f"part{len(parts) + 1}"] = []
                room = limit
            part = list(parts)[-1]
            piece = content[at : at + room]
            name = path.name if len(piece) == len(content) else f"{path.name}.{len(entry['pieces']) + 1:03d}"
            (out / part).mkdir(parents=True, exist_ok=True)
            (out / part / name).write_bytes(piece)
            entry["pieces"].append({"part": part, "name": name, "sha256": digest(piece)})
            parts[part].append(name)
            room -= len(piece)
            at += len(piece)
    return parts


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def describe(out: Path, python: str, limit: int, parts: dict[str, list[str]]) -> None:
    rows = []
    for part, names in parts.items():
        size = sum(path.stat().st_size for path in (out / part).iterdir()) / 2**20
        rows.append(f"| {part} | {size:.1f} | {', '.join(names)} |")
    text = (SOURCE / "README.md").read_text(encoding="utf-8")
    text = text.format(python=python, platform=f"Linux {MACHINE}", limit=limit / 2**20, rows="\n".join(rows))
    (out / "README.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
