from __future__ import annotations

import pytest

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.base.units import format_bytes, parse_bytes


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4GB", 4 * 10**9),
        ("512MiB", 512 * 2**20),
        ("1.5 g", 1_500_000_000),
        (" 20 kb ", 20_000),
        ("17", 17),
        (123456, 123456),
        ("2Ti", 2 * 2**40),
    ],
)
def test_sizes_as_people_write_them(text: str | int, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-4GB", "4 XB", "0", 0, -1, "1e9", "four"])
def test_what_is_no_size_is_refused(text: str | int) -> None:
    with pytest.raises(ArgumentError):
        parse_bytes(text)


def test_sizes_for_people() -> None:
    assert [format_bytes(x) for x in (12, 1500, 2_500_000, 3.2e9, 7e12)] == [
        "12 B",
        "1.5 kB",
        "2.5 MB",
        "3.2 GB",
        "7.0 TB",
    ]
