"""Reports registers, spills, shared memory and 16-byte accesses of the compiled kernels; needs nvcc, but no GPU.

python scripts/gpu/cubin_report.py [--architecture 90] [--markdown FILE] [--json FILE]

Exits with 1 if a kernel on the hot path spills registers. The disassembler is part of the CUDA toolkit and of
`pip install nvidia-cuda-cuobjdump nvidia-cuda-nvdisasm`; without it the access columns stay empty.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# The flags of the build (CMakeLists.txt).
FLAGS = ["-std=c++20", "-O3", "-fmad=false", "-DNDEBUG", f"-I{ROOT / 'csrc'}"]
# Instructions that access 16 bytes per thread, and those that access the stack.
WIDE = {"loads": r"\bLDG\.E\S*\.128", "stores": r"\bSTG\.E\S*\.128", "shared": r"\b(?:LDS|STS)\S*\.128"}
COUNTED = {**WIDE, "all loads": r"\bLDG\.E", "all stores": r"\bSTG\.E", "stack": r"\b(?:LDL|STL)\b"}
# Kernels that run once per section, not once per image: a spill there costs no measurable time.
COLD = ("prepare", "section")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", default="90", help="compute capability (default 90)")
    parser.add_argument("--markdown", type=Path, help="write the table to FILE")
    parser.add_argument("--json", type=Path, help="write the figures to FILE")
    arguments = parser.parse_args()
    nvcc = tool("nvcc")
    if nvcc is None:
        print("nvcc not found; install the CUDA toolkit or set CUDA_HOME", file=sys.stderr)
        return 2
    sources = sorted((ROOT / "csrc").glob("*/*.cu"))
    rows: list[dict] = []
    with tempfile.TemporaryDirectory() as work, concurrent.futures.ThreadPoolExecutor(1) as pool:
        for found in pool.map(lambda source: kernels(nvcc, source, arguments.architecture, Path(work)), sources):
            rows += found
    text = table(rows)
    print(text)
    if arguments.markdown:
        arguments.markdown.write_text(text + "\n", encoding="utf-8")
    if arguments.json:
        version = subprocess.run([nvcc, "--version"], capture_output=True, text=True).stdout.strip().splitlines()[-1]
        document = {"nvcc": version, "architecture": f"sm_{arguments.architecture}", "kernels": rows}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    spilling = [row["kernel"] for row in rows if row["spill bytes"] and row["hot"]]
    for name in spilling:
        print(f"spills registers: {name}", file=sys.stderr)
    return 1 if spilling else 0


def tool(name: str) -> str | None:
    """Finds a program on the PATH, in the CUDA toolkit, or in the packages of this interpreter."""
    homes = [os.environ.get(key, "") for key in ("CUDA_HOME", "CUDA_PATH")]
    folders = [f"{home}/bin" for home in homes if home] + ["/usr/local/cuda/bin", "/opt/cuda/bin"]
    found = shutil.which(name) or shutil.which(name, path=os.pathsep.join(folders))
    if found is not None:
        return found
    packages = Path(sysconfig.get_paths()["purelib"]) / "nvidia"
    return next((str(path) for path in packages.glob(f"**/bin/{name}")), None)


def kernels(nvcc: str, source: Path, architecture: str, work: Path) -> list[dict]:
    """Compiles a source file and returns one row per kernel."""
    cubin = work / f"{source.stem}.cubin"
    command = [nvcc, *FLAGS, "-cubin", f"-arch=sm_{architecture}", "-Xptxas", "-v", str(source), "-o", str(cubin)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{source.name}: nvcc failed\n{done.stderr}")
    accesses = disassembled(cubin)
    rows = []
    for name, report in re.findall(r"Compiling entry function '(\S+)'(.*?)(?=Compiling entry|\Z)", done.stderr, re.S):
        spills = sum(int(n) for n in re.findall(r"(\d+) bytes spill (?:stores|loads)", report))
        shared = re.search(r"(\d+) bytes smem", report)
        registers = re.search(r"Used (\d+) registers", report)
        shown = readable(name)
        row = {
            "file": str(source.relative_to(ROOT / "csrc")),
            "kernel": shown,
            "hot": not any(word in shown for word in COLD),
            "registers": int(registers.group(1)) if registers else None,
            "spill bytes": spills,
            "static shared bytes": int(shared.group(1)) if shared else 0,
        }
        rows.append(row | dict(accesses.get(name, {})))
    return sorted(rows, key=lambda row: row["kernel"])


def readable(mangled: str) -> str:
    """Demangles a kernel's name to `name<arguments>`, without namespaces and parameters."""
    demangler = shutil.which("c++filt") or tool("cu++filt")
    if demangler is None:
        return mangled
    full = subprocess.run([demangler, mangled], capture_output=True, text=True).stdout.strip()
    return re.sub(r"\w+::|\(anonymous namespace\)::|^void |\(.*", "", full.replace("(anonymous namespace)::", ""))


def disassembled(cubin: Path) -> dict[str, Counter[str]]:
    """Counts the instructions in COUNTED per kernel; empty without a disassembler."""
    cuobjdump, nvdisasm = tool("cuobjdump"), tool("nvdisasm")
    if cuobjdump is None:
        return {}
    environment = dict(os.environ)
    if nvdisasm is not None:
        environment["PATH"] = f"{Path(nvdisasm).parent}{os.pathsep}{environment.get('PATH', '')}"
    done = subprocess.run([cuobjdump, "-sass", str(cubin)], capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        print(f"{cubin.name}: not disassembled: {done.stderr.strip()}", file=sys.stderr)
        return {}
    counts: dict[str, Counter[str]] = {}
    for name, body in re.findall(r"Function : (\S+)(.*?)(?=Function : |\Z)", done.stdout, re.S):
        counts[name] = Counter({what: len(re.findall(pattern, body)) for what, pattern in COUNTED.items()})
    return counts


def table(rows: list[dict]) -> str:
    lines = [
        "| kernel | registers | spilled bytes | static shared bytes | 16-byte loads | 16-byte stores | of shared |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        loads = f"{row['loads']} of {row['all loads']}" if "loads" in row else ""
        stores = f"{row['stores']} of {row['all stores']}" if "stores" in row else ""
        lines.append(
            f"| `{row['kernel']}` | {row['registers']} | {row['spill bytes']} | {row['static shared bytes']} "
            f"| {loads} | {stores} | {row.get('shared', '')} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
