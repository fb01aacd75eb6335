"""Reports what callers of the C interface would notice, from a commit to the working tree. Run by `make abi-report`.

    python scripts/abi_report.py [COMMIT]

COMMIT: the latest version tag if it is left out, or where there is none, the commit that added the header. abidiff
(package abigail-tools) compares two small libraries that hold the functions and types of ionmorphnet.h, one of each
version. The report is for people, and the exit code is 0 whatever it says: abidiff also reports what the rules allow,
such as a field at the end of a structure, and its suppressions hide more than that. The gates are tests/capi/abi.c and
tests/capi/exported.txt.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEADER = "csrc/capi/include/ionmorphnet.h"


def git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def base_commit() -> str:
    """The latest version tag, or the commit that added the header."""
    tags = git("tag", "--list", "v[0-9]*", "--sort=-creatordate").split()
    return tags[0] if tags else git("log", "--diff-filter=A", "--format=%h", "--", HEADER).split()[-1]


def stub(header: str, folder: Path) -> Path:
    """A library with debug information that has the functions of a header, all of them empty."""
    folder.mkdir()
    (folder / "ionmorphnet.h").write_text(header)
    bare = re.sub(r"/\*.*?\*/", " ", header, flags=re.DOTALL)
    functions = re.findall(r"IMN_API\s+([^;{}()]*?IMN_CALL\s+imn_\w+\([^;{}]*\));", bare)
    pointers = re.findall(r"typedef[^;]*?\bIMN_CALL\* (imn_\w+)\)\(", bare)
    lines = ["#include <ionmorphnet.h>", "#include <stdlib.h>"]
    lines += [f'__attribute__((visibility("default"))) {" ".join(each.split())} {{ abort(); }}' for each in functions]
    lines += [f'__attribute__((visibility("default"))) {name} {name}_of_plugins;' for name in pointers]
    source, library = folder / "stub.c", folder / "libionmorphnet.so"
    source.write_text("\n".join(lines) + "\n")
    command = ["gcc", "-std=c99", "-g", "-shared", "-fPIC", "-fvisibility=hidden", "-I", folder, source, "-o", library]
    done = subprocess.run([str(each) for each in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"gcc: {done.stderr}")
    return library


def numbers(header: str) -> dict[str, str]:
    """The constants of a header, which debug information does not have."""
    return dict(re.findall(r"^#define (IMN_[A-Z0-9_]+)(?: |\s*\\\n\s*)(\d+u?)\b", header, flags=re.MULTILINE))


def changed_numbers(old: str, new: str) -> str:
    """One line per constant that went, came, or has another value."""
    before, now = numbers(old), numbers(new)
    names = sorted(name for name in before | now if before.get(name) != now.get(name))
    return "".join(f"{name}: {before.get(name, 'new')} -> {now.get(name, 'gone')}\n" for name in names)


def report(old: str, new: str) -> str:
    """What differs for callers of two versions of the header; empty if nothing does."""
    with tempfile.TemporaryDirectory() as temporary:
        libraries = [stub(header, Path(temporary) / name) for header, name in ((old, "old"), (new, "new"))]
        command = ["abidiff", "--leaf-changes-only", "--harmless", "--no-show-locs", *libraries]
        done = subprocess.run([str(each) for each in command], capture_output=True, text=True, check=False)
        if done.returncode & 3:  # an error of abidiff, or of its use
            raise SystemExit(f"abidiff: {done.stdout}{done.stderr}")
        return changed_numbers(old, new) + done.stdout


def main() -> int:
    if shutil.which("abidiff") is None:
        raise SystemExit("abidiff is not installed: apt-get install abigail-tools")
    commit = sys.argv[1] if len(sys.argv) > 1 and sys.argv[1] else base_commit()
    text = report(git("show", f"{commit}:{HEADER}"), (ROOT / HEADER).read_text())
    print(f"ionmorphnet.h, {commit} and now:")
    print(text or "no change for callers")
    return 0


if __name__ == "__main__":
    sys.exit(main())
