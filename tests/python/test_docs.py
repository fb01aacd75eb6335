"""The documentation names files, commands, options and Python names that exist."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import get_args, get_type_hints

import click
import pytest

import ionmorphnet
from ionmorphnet.cli.app import cli
from odd_files.faults import FAULTS

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^()\s]+)\)")
_INLINE = re.compile(r"`([^`\n]+)`")
_SCRIPT = re.compile(r"\b(?:scripts|examples)/[\w/]+\.(?:py|sh)\b")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def _blocks(text: str, *languages: str) -> Iterator[str]:
    return (body for language, body in _FENCE.findall(text) if language in languages)


def _prose(text: str) -> str:
    return _FENCE.sub("", text)


def _anchors(text: str) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    titles = re.findall(r"^#+ (.+)$", _prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def _broken_links(page: Path, text: str) -> list[str]:
    broken = []
    for target in _LINK.findall(_prose(text)):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        known = file.exists() and (not anchor or anchor in _anchors(file.read_text(encoding="utf-8")))
        broken += [] if known else [target]
    return broken + [name for name in _SCRIPT.findall(text) if not (ROOT / name).is_file()]


def _command_lines(text: str) -> Iterator[str]:
    """Command lines in console blocks and in inline code that start the ionmorphnet command."""
    shell = "\n".join(_blocks(text, "console", "bash", "sh", "")).replace("\\\n", " ")
    for line in [*shell.splitlines(), *_INLINE.findall(_prose(text))]:
        found = re.match(r"(?:\$ )?(?:.*-m )?ionmorphnet(?= |$)(.*)", line.strip().replace("\\|", "|"))
        if found:
            yield found[1].partition(" #")[0]


def _unknown_words(line: str) -> list[str]:
    """Sub-commands and options in a command line that the command does not have."""
    command: click.Command = cli
    context = click.Context(cli)
    options = {"-h", "--help", "--version"}
    unknown = []
    for word in shlex.split(line):
        if isinstance(command, click.Group) and not word.startswith("-"):
            if word.isupper() or word == "...":  # a placeholder for any command
                return unknown
            found = command.get_command(context, word)
            if found is None:
                return [*unknown, word]
            command = found
            options |= {name for param in command.params for name in (*param.opts, *param.secondary_opts)}
        elif re.match(r"--?[a-zA-Z]", word) and word.partition("=")[0] not in options:
            unknown.append(word)
    return unknown


def _resolve(dotted: str) -> object:
    """What a name such as ``imn.evaluate.mscf1`` or ``ionmorphnet.io.dataset`` stands for."""
    first, *names = dotted.split(".")
    assert first in ("imn", "ionmorphnet")
    value: object = ionmorphnet
    path = "ionmorphnet"
    for name in names:
        path += f".{name}"
        try:
            value = getattr(value, name)
        except AttributeError:
            value = importlib.import_module(path)
    return value


def _problems_of_name(dotted: str) -> list[str]:
    try:
        _resolve(dotted)
    except (ImportError, AttributeError):
        return [dotted]
    return []


def _dotted(node: ast.expr, aliases: dict[str, str]) -> str | None:
    if isinstance(node, ast.Name):
        return aliases.get(node.id)
    if isinstance(node, ast.Attribute) and (base := _dotted(node.value, aliases)) is not None:
        return f"{base}.{node.attr}"
    return None


def _problems_of_python(source: str) -> list[str]:
    """Imports, names and keyword arguments of ionmorphnet in a block that do not exist."""
    tree = ast.parse(source)
    aliases = {"imn": "imn"}
    problems = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "ionmorphnet":
            names = {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            aliases |= names
            problems += [problem for name in names.values() for problem in _problems_of_name(name)]
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            if (name := _dotted(node.value, aliases)) is not None:
                aliases[node.targets[0].id] = name
        elif isinstance(node, ast.Attribute) and (name := _dotted(node, aliases)) is not None:
            problems += _problems_of_name(name)
        elif isinstance(node, ast.Call) and (name := _dotted(node.func, aliases)) is not None:
            problems += _problems_of_call(node, name)
    return problems


def _problems_of_call(node: ast.Call, name: str) -> list[str]:
    if _problems_of_name(name):  # reported already, as a name
        return []
    function = _resolve(name)
    assert callable(function)
    accepted = set[str]()
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            unpacked = get_args(get_type_hints(function)[parameter.name])  # **opened: Unpack[OpenOptions]
            if not unpacked:
                return []
            accepted |= set(unpacked[0].__annotations__)
        accepted.add(parameter.name)
    return [f"{name}({word.arg}=)" for word in node.keywords if word.arg is not None and word.arg not in accepted]


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    assert _broken_links(page, page.read_text(encoding="utf-8")) == []


@each_page
def test_commands_and_options_exist(page: Path) -> None:
    lines = list(_command_lines(page.read_text(encoding="utf-8")))
    assert {line: words for line in lines if (words := _unknown_words(line))} == {}


@each_page
def test_python_compiles_and_its_names_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    problems = [problem for block in _blocks(text, "python") for problem in _problems_of_python(block)]
    names = re.findall(r"`((?:imn|ionmorphnet)(?!\.h(?:pp)?\b)(?:\.[A-Za-z_]\w*)+)", _prose(text))
    assert problems + [problem for name in names for problem in _problems_of_name(name)] == []


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").glob("*/*.md")}
    assert pages
    assert pages - set(_LINK.findall(index)) == set()


def test_every_picture_is_shown_and_small() -> None:
    pictures = {path.resolve() for path in (ROOT / "docs" / "images").iterdir()}
    shown = {(page.parent / target).resolve() for page in PAGES for target in _LINK.findall(page.read_text("utf-8"))}
    assert pictures
    assert pictures - shown == set()
    assert [path.name for path in pictures if path.stat().st_size > 300 * 1024] == []


def test_the_checks_see_mistakes() -> None:
    text = "[x](no/such.md) ![y](docs/images/none.png) [z](README.md#no-such-heading) `scripts/none.py`"
    assert len(_broken_links(ROOT / "README.md", text)) == 4
    block = "```console\n$ ionmorphnet pick a.imzML -o out --top 3 --tpo 3\n$ ionmorphnet evaluate rankin\n```\n"
    assert [_unknown_words(line) for line in _command_lines(block)] == [["--tpo"], ["rankin"]]
    source = "import ionmorphnet as imn\nev = imn.evaluate\nev.none(1)\nimn.pick('x', tpo=3, repair=1)\nimn.picks\n"
    assert sorted(_problems_of_python(source)) == ["imn.evaluate.none", "imn.pick(tpo=)", "imn.picks"]
    assert _problems_of_python("from ionmorphnet.io.dataset import Datasets\n") == ["ionmorphnet.io.dataset.Datasets"]


def test_the_option_table_names_every_scorer() -> None:
    text = (ROOT / "docs" / "reference" / "command-line.md").read_text(encoding="utf-8")
    (row,) = [line for line in text.splitlines() if line.startswith("| `--scorer` |")]
    assert set(re.findall(r"`([a-z_]+)`", row)) == set(ionmorphnet.SCORER_NAMES)


def _catalogue() -> list[tuple[str, str, Path]]:
    """Rows of the page on odd files: first cell, name of the test (title or text of its link), file of the test."""
    page = ROOT / "docs" / "reference" / "odd-files.md"
    rows = []
    for line in page.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) < 2 or cells[0] in ("kind", "---"):
            continue
        assert len(cells) == 4, line
        links = re.findall(r"\[([^\]]+)\]\(([^()\s]+)(?: \"([^\"]+)\")?\)", cells[3])
        assert links, line
        rows += [(cells[0], title or text, page.parent / target) for text, target, title in links]
    return rows


def test_each_row_on_odd_files_has_its_test() -> None:
    wrong = []
    for kind, text, file in _catalogue():
        defined = re.findall(r"^def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE)
        known = text in FAULTS if file.name == "test_odd_files.py" and text not in defined else text in defined
        wrong += [] if known else [(kind, text, file.name)]
    assert wrong == []


def test_each_fault_has_a_row_on_odd_files() -> None:
    named = {text for _, text, _ in _catalogue()}
    assert set(FAULTS) - named == set()
