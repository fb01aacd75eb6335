"""Installs the complete parts of a device bundle. Needs only Python's standard library and pip, no network.

python3 install.py --into FOLDER [--python PYTHON] [--all]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tarfile
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> int:
    """Joins the pieces, checks them, and installs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, required=True, help="folder for wheels, headers, data and `activate`")
    parser.add_argument("--python", default=sys.executable, help="interpreter to install for (default: this one)")
    parser.add_argument("--all", action="store_true", help="install even what the interpreter already has")
    arguments = parser.parse_args()
    into = arguments.into.resolve()
    manifest = json.loads((HERE / "manifest.json").read_text(encoding="utf-8"))
    complete, missing = [], []
    for entry in manifest["files"]:
        (complete if joined(entry, into) else missing).append(entry)
    has = {} if arguments.all else installed(arguments.python)
    wheels = [entry for entry in complete if entry["kind"] == "wheel"]
    wanted = [entry for entry in wheels if entry["package"] not in has]
    for entry in wheels:
        if entry not in wanted:
            print(f"kept: {entry['package']} {has[entry['package']]}")
    if wanted:
        install(arguments.python, into, wanted)
    for entry in complete:
        if entry["kind"] == "archive":
            unpack(into / entry["name"], into / entry["to"])
    activate(into, has_headers=any(entry["to"] == "prefix" for entry in complete if entry["kind"] == "archive"))
    for entry in missing:
        print(f"not complete yet: {entry['name']} (parts {', '.join(p['part'] for p in entry['pieces'])})")
    print(f". {into / 'activate'}")
    return 0


def joined(entry: dict, into: Path) -> bool:
    """Assembles a file from its pieces. Returns False if pieces are missing and no earlier call completed it."""
    target = into / entry["name"]
    if target.is_file() and target.stat().st_size == entry["size"] and sha256(target) == entry["sha256"]:
        return True
    pieces = [HERE / piece["part"] / piece["name"] for piece in entry["pieces"]]
    kept = [into / "pieces" / piece["name"] for piece in entry["pieces"]]
    into.joinpath("pieces").mkdir(parents=True, exist_ok=True)
    for piece, here, copy in zip(entry["pieces"], pieces, kept, strict=True):
        # A later part may replace an earlier one on disk, so every piece seen is kept.
        if here.is_file() and not copy.is_file():
            if sha256(here) != piece["sha256"]:
                raise SystemExit(f"{here}: damaged (its SHA-256 is not the manifest's)")
            copy.write_bytes(here.read_bytes())
    if not all(copy.is_file() for copy in kept):
        return False
    with target.open("wb") as out:
        for copy in kept:
            out.write(copy.read_bytes())
    if sha256(target) != entry["sha256"]:
        raise SystemExit(f"{target}: damaged (its SHA-256 is not the manifest's)")
    for copy in kept:
        copy.unlink()
    return True


def sha256(path: Path) -> str:
    """Returns the hexadecimal digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def installed(python: str) -> dict[str, str]:
    """Returns the versions of an interpreter's packages by normalised name."""
    code = (
        "import importlib.metadata as m, json;"
        "print(json.dumps({d.metadata['Name'].lower().replace('_', '-'): d.version for d in m.distributions()}))"
    )
    found = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True)
    versions: dict[str, str] = json.loads(found.stdout)
    return versions


def install(python: str, into: Path, wheels: list[dict]) -> None:
    """Installs wheels into their own folder; the interpreter's packages stay unchanged."""
    files = [str(into / entry["name"]) for entry in wheels]
    options = ["--no-index", "--no-deps", "--no-compile", "--no-cache-dir", "--disable-pip-version-check", "-q"]
    command = [python, "-m", "pip", "install", *options, "--upgrade", "--target", str(into / "site"), *files]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"pip failed:\n{done.stderr}")
    for entry in wheels:
        print(f"installed: {entry['package']} {entry['version']}")


def unpack(archive: Path, to: Path) -> None:
    """Unpacks an archive into a folder, which is created if necessary; existing files are overwritten."""
    to.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as tar:
        tar.extractall(to, filter="data")
    print(f"unpacked: {archive.name}")


def activate(into: Path, *, has_headers: bool) -> None:
    """Writes a shell file that puts the bundle's packages, headers, libraries and data on the search paths."""
    libraries = [str(into / "site" / "openvino" / "libs")]
    lines = [
        f'export PYTHONPATH="{into}/site${{PYTHONPATH:+:$PYTHONPATH}}"',
        f'export PATH="{into}/site/bin:$PATH"',
        f'export IMN_SHARED_DATA="{into}/data"',
    ]
    if has_headers:
        lines.append(f'export CMAKE_PREFIX_PATH="{into}/prefix${{CMAKE_PREFIX_PATH:+:$CMAKE_PREFIX_PATH}}"')
        libraries.insert(0, str(into / "prefix" / "lib"))
    lines.append(f'export LD_LIBRARY_PATH="{":".join(libraries)}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}"')
    (into / "activate").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
