from __future__ import annotations

import codecs
from pathlib import Path

import pytest

import ionmorphnet as imn
from ionmorphnet.io.mz_list import parse_mz_values, read_mz_list


def test_values_on_the_command_line(tmp_path: Path) -> None:
    many = [500.0 + i / 8 for i in range(200)]  # longer as text than a file name may be
    assert parse_mz_values(",".join(map(repr, many))) == many
    assert parse_mz_values("500.1; 600.2") == [500.1, 600.2]
    (tmp_path / "list.csv").write_text("mz\n500.5\n")
    assert parse_mz_values(str(tmp_path / "list.csv")) == [500.5]


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (",", "contains no m/z value"),
        ("", "contains no m/z value"),
        ("500.1,x", "neither a list"),
        ("1_00", "neither a list"),
        ("500.1,x," + "600.5," * 100, "neither a list"),
        ("x\0", "neither a list"),
    ],
)
def test_no_values(text: str, cause: str) -> None:
    with pytest.raises(imn.ArgumentError, match=cause):
        parse_mz_values(text)


@pytest.mark.parametrize(
    "text",
    [
        "500.5\n600.25\n",
        "\ufeffmz\r\n500.5\r\n\r\n600.25\r\n",
        "name,mz\na,500.5\nb,600.25\n",
        'name;"m/z"\na;500.5\nb;600.25\n',
        'M/Z\tname\n500.5\t"a, b"\n600.25\n',
        '"name, long";mz;score\n"a,b,c";500.5;1\nb;600.25;2\n',
        "mz,,\n500.5,,\n600.25,,\n",
        "# made by hand\n\n#\nmz\n500.5\n# more:\n600.25\n",
        "sep=;\nname;m/z\n# a;500,5\n# b;600,25\n",
        "m/z [Da]\tColor\n500,5\t#e6194b\n600,25\t#3cb44b\n",
        "# mz,intensity\n500.5,1\n600.25,2\n",
        "Centroid;Intensity\n5,005e2;1,5\n600,25;2\n",
        "MZ,Exact Mass\n500.5,499.5\n600.25,599.2\n",
        "mz,name\n500.5,a\n,\n600.25,b\n,,\n",
        'name,m/z (Da)\n"a\nb",500.5\nc,600.25\n',
    ],
)
def test_lists_that_can_be_read(text: str, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(text, encoding="utf-8", newline="")
    assert read_mz_list(path) == [500.5, 600.25]


@pytest.mark.parametrize(
    ("text", "line", "cause"),
    [
        ("mz\n500.1\n500,5\n", 3, "more cells than the header.*decimal comma"),
        ("name,mz\na,500,5\n", 2, "more cells than the header.*decimal comma"),
        ("500,5\n600,5\n", 1, "2 columns but no header.*decimal point"),
        ("mz;name\n500,5,1;a\n", 2, "'500,5,1' is not an m/z value; use a decimal point"),
        ("mz;name\n1.500,5;a\n", 2, "'1.500,5' is not an m/z value"),
        ("500.1\n600.1,7\n", 2, "more cells"),
        ("mz\n1_00\n", 2, "'1_00' is not an m/z"),
        ("1_00\n", 1, "no column 'mz'"),
        ("mz\n500\nnan\n", 3, "'nan' is not an m/z"),
        ("mz\n\n-5\n", 3, "'-5' is not an m/z"),
        ("name,mz\na\n", 2, "'' is not an m/z"),
        ("exact mass\n500\n", 1, "no column 'mz' among exact mass"),
        ("mz,m/z\n500,501\n", 1, "several columns hold m/z: 'mz' and 'm/z'"),
        ("# a\n# b\n\nmz\n500\nx\n", 6, "'x' is not an m/z"),
        ("mz_lo,mz,mz_hi\n1,2,3\n3,2,4\n", 3, "the m/z is not between 'mz_lo' and 'mz_hi'"),
        ("mz;Interval Width (+/- Da)\n500;.1\n600;\n", 3, "'' is not a half width"),
        ("mz;Interval Width (+/- Da)\n500;0\n", 2, "'0' is not a half width"),
        ('mz\n500\n"600\n', 3, "not a readable CSV"),
        ("mz,name\n500," + "x" * 140_000 + "\n", 2, "not a readable CSV"),
    ],
)
def test_lists_that_are_refused(text: str, line: int, cause: str, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(text)
    with pytest.raises(imn.FileError, match=rf"list\.csv: line {line}: .*{cause}"):
        read_mz_list(path)


@pytest.mark.parametrize("text", ["", "\n\n", "mz\n", "mz\n,\n"])
def test_empty_lists(text: str, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(imn.FileError, match=r"list\.csv: no m/z values"):
        read_mz_list(tmp_path / "list.csv")


def test_unreadable_lists(tmp_path: Path) -> None:
    with pytest.raises(imn.FileError, match=r"absent\.csv: No such file"):
        read_mz_list(tmp_path / "absent.csv")
    (tmp_path / "wide.csv").write_bytes("mz\tname\r\n500.5\té\r\n".encode("utf-16"))
    assert read_mz_list(tmp_path / "wide.csv") == [500.5]
    (tmp_path / "big.csv").write_bytes(codecs.BOM_UTF16_BE + "mz\n600.25\n".encode("utf-16-be"))
    assert read_mz_list(tmp_path / "big.csv") == [600.25]
    (tmp_path / "latin.csv").write_bytes(b"mz\n500\n\xe9\n")
    with pytest.raises(imn.FileError, match=r"latin\.csv: not UTF-8"):
        read_mz_list(tmp_path / "latin.csv")
