"""Builds the library in a root without Python and without OpenVINO, and picks there. Run by `make bare-root`.

    sudo python scripts/bare_root.py [--suite bookworm] [--keep]

debootstrap (a package of Debian and Ubuntu) makes a minimal system in build/bare-root with what the build needs: g++,
cmake, ninja and the headers of zlib, expat and nlohmann-json. In it the library is configured, built and installed, the
C example is built against the installed prefix, and both the C test of wrong use and picks of a simulated section run.
The picks must be those of the Python package on this machine: of Moran's I, and of the bundled network with the shared
libraries of this machine's OpenVINO wheel beside the plug-in, if it has one.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import ionmorphnet as imn
from ionmorphnet.scoring.scorer import ScorerName

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("g++", "cmake", "ninja-build", "zlib1g-dev", "libexpat1-dev", "nlohmann-json3-dev")
# What the plug-in loads.
OPENVINO = ("libopenvino.so*", "libopenvino_c.so*", "libopenvino_intel_cpu_plugin.so", "libopenvino_onnx_frontend.so*",
            "libtbb.so*")  # fmt: skip
BUILD = """
set -e
cd /source
cmake -S . -B /build -G Ninja -DIMN_WITH_PYTHON=OFF -DIMN_WITH_CUDA=OFF -DIMN_WERROR=ON
cmake --build /build -j {jobs}
cmake --install /build --prefix /opt/ionmorphnet
cmake -S examples/embedding/c -B /example -G Ninja -DCMAKE_PREFIX_PATH=/opt/ionmorphnet
cmake --build /example
g++ -x c -std=c99 -O1 -I /opt/ionmorphnet/include tests/capi/misuse.c -x none /opt/ionmorphnet/lib/libionmorphnet.so \
  -Wl,-rpath,/opt/ionmorphnet/lib -o /misuse
"""


def release_of_system() -> str:
    """The name of the release that this system is of."""
    for line in Path("/etc/os-release").read_text().splitlines():
        if line.startswith("VERSION_CODENAME="):
            return line.partition("=")[2].strip('"')
    raise SystemExit("/etc/os-release names no release; give --suite")


def make_root(root: Path, suite: str) -> None:
    debootstrap = shutil.which("debootstrap", path=f"{os.environ['PATH']}:/usr/sbin")
    if debootstrap is None:
        raise SystemExit("debootstrap is not installed: apt-get install debootstrap")
    root.parent.mkdir(parents=True, exist_ok=True)
    command = [debootstrap, "--variant=minbase", f"--include={','.join(PACKAGES)}", suite, root]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        shutil.rmtree(root, ignore_errors=True)
        raise SystemExit(f"debootstrap: exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr}")


def started(root: Path, *command: str, proc: bool = True) -> subprocess.CompletedProcess[str]:
    """A command that ran in the root, with or without /proc, which is mounted for this command only."""
    script = 'mount --bind /proc "$0/proc" && exec chroot "$0" "$@"' if proc else 'exec chroot "$0" "$@"'
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, str(root), *command],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/"},
        check=False,
        timeout=3600,
    )


def inside(root: Path, *command: str) -> str:
    """Standard output of a command in the root; its failure is an error."""
    done = started(root, *command)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return done.stdout


def require_bare(root: Path) -> None:
    """Ends the program if the root has Python or OpenVINO."""
    found = [
        path
        for folder in ("bin", "usr/bin", "usr/local", "usr/include", "usr/lib", "opt")
        for pattern in ("python3*", "pybind11*", "*openvino*", "*onnxruntime*")
        for path in (root / folder).rglob(pattern)
    ]
    if found:
        raise SystemExit("the root is not bare: " + ", ".join(str(path) for path in found[:5]))


def copy_source(root: Path) -> None:
    """The files that git tracks, as they are now."""
    target = root / "source"
    shutil.rmtree(target, ignore_errors=True)
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)


def copy_openvino(root: Path) -> bool:
    """Puts this machine's OpenVINO beside the plug-in; whether there is one."""
    found = importlib.util.find_spec("openvino")
    if found is None or found.origin is None:
        return False
    target = root / "opt/ionmorphnet/lib/ionmorphnet/engines/openvino"
    target.mkdir(parents=True, exist_ok=True)
    for pattern in OPENVINO:
        for path in (Path(found.origin).parent / "libs").glob(pattern):
            shutil.copy(path, target / path.name)
    return True


def compare(root: Path, section: Path, scorer: ScorerName) -> None:
    """Ends the program unless a pick in the root is that of Python here, to the last digit."""
    lines = inside(root, "/example/pick", f"/{section.name}", scorer, "1000000").split()
    found = np.array([[float(value) for value in line.split(",")] for line in lines])
    frame = imn.pick(section, scorer=scorer, precision="f32" if scorer == "openvino" else "auto", top=10**6).to_frame()
    if not np.array_equal(found, frame[["mz", "score"]].to_numpy(np.float64)):
        raise SystemExit(f"{scorer}: the picks differ from those of Python")
    print(f"{scorer}: {len(found)} channels, m/z and scores equal to Python's")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", help="release to install (default: that of this system)")
    parser.add_argument("--keep", action="store_true", help="keep build/bare-root, and use it if it is there")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("a root directory can be changed by the user root only")
    root = ROOT / "build" / "bare-root"
    start = time.monotonic()
    if root.exists() and not arguments.keep:
        shutil.rmtree(root)
    if not root.exists():
        make_root(root, arguments.suite or release_of_system())
        print(f"root made in {time.monotonic() - start:.0f} s", flush=True)
    for made in ("build", "example", "opt/ionmorphnet"):
        shutil.rmtree(root / made, ignore_errors=True)
    require_bare(root)
    copy_source(root)
    start = time.monotonic()
    inside(root, "sh", "-c", BUILD.format(jobs=len(os.sched_getaffinity(0))))
    cmake = inside(root, "cmake", "--version").splitlines()[0]
    print(f"built with {cmake} in {time.monotonic() - start:.0f} s", flush=True)
    print(inside(root, "ldd", "/opt/ionmorphnet/lib/libionmorphnet.so"), end="")
    section = root / "section.imzML"
    imn.simulate(section, shape=(40, 44), n_channels=120, seed=3)
    print("misuse:", inside(root, "/misuse", "/section.imzML", "/opt/ionmorphnet/share/ionmorphnet/models"), end="")
    compare(root, section, "moran")
    if copy_openvino(root):
        compare(root, section, "openvino")
        refused = started(root, "/example/pick", "/section.imzML", "openvino", proc=False)
        if refused.returncode != 1 or "mount /proc" not in refused.stderr:
            raise SystemExit(f"without /proc: exit {refused.returncode}\n{refused.stderr}")
    else:
        print("openvino: not compared, this machine has none")
    if not arguments.keep:
        shutil.rmtree(root)
    return 0


if __name__ == "__main__":
    sys.exit(main())
