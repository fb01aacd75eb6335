"""CPU time of importing the package and of the command's help, next to importing numpy and pandas alone."""

from __future__ import annotations

import statistics
import subprocess
import sys

from benchmarks.common import Context, Row

_CASES = {
    "import numpy": "import numpy",
    "import pandas": "import pandas",
    "import ionmorphnet": "import ionmorphnet",
    "ionmorphnet --version": "import sys; sys.argv[1:] = ['--version']; from ionmorphnet.cli.entry import main; main()",
    "ionmorphnet --help": "import sys; sys.argv[1:] = ['--help']; from ionmorphnet.cli.entry import main; main()",
}
_PROGRAM = """
import contextlib, io, sys, time
before = time.process_time()
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    exec({code!r})
print(time.process_time() - before)
"""


def seconds(code: str) -> float:
    """CPU seconds of some code in a fresh interpreter, without the interpreter's own start."""
    program = _PROGRAM.format(code=code)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def run(context: Context) -> list[Row]:
    """Median of nine starts each, the cases in turn."""
    found: dict[str, list[float]] = {name: [] for name in _CASES}
    for _ in range(9):
        for name, code in _CASES.items():
            found[name].append(seconds(code))
    return [Row("CPU time", name, statistics.median(times), None) for name, times in found.items()]
