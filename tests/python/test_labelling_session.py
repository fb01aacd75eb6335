"""A labelling session: labels, undo, skipping, the second pass, several windows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ionmorphnet as imn
from ionmorphnet.labelled.label_csv import read_mz_labels
from ionmorphnet.labelling.label_file import Label
from ionmorphnet.labelling.pictures import Pictures, draw, outline
from ionmorphnet.labelling.session import Session, StaleError
from labelling_factory import SHAPE, make_candidates, make_session

Start = Callable[..., Session]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a session on ``labels.csv``."""
    sessions = []

    def session(**arguments: Any) -> Session:
        sessions.append(make_session(tmp_path / "labels.csv", **arguments))
        return sessions[-1]

    yield session
    for each in sessions:
        each.file.close()


def on_disk(session: Session) -> dict[float, tuple[str, ...]]:
    """Classes of each m/z in the file, as training reads them."""
    if not session.file.path.exists():
        return {}
    labels, report = read_mz_labels(session.file.path, dataset="liver")
    assert {problem.kind for problem in report.problems} <= {"empty file"}
    return {each.mz: tuple(imn.CLASSES[label] for label in each.labels) for each in labels}


def test_every_label_is_on_the_disk_at_once(start: Start) -> None:
    session = start()
    for item, label in ((0, 0), (5, 4), (2, 1)):
        session.label(item, label, 1.5)
        assert on_disk(session)[100.0 + item] == (imn.CLASSES[label],)
    assert session.progress()["first"] == 3
    assert list(session.class_counts().values()) == [1, 1, 0, 0, 1, 0]


def test_undo_and_redo_go_through_the_file(start: Start) -> None:
    session = start()
    session.label(0, 0, None)
    session.label(0, 0, 3.0)
    session.label(1, 4, 0.0)
    session.clear(1)
    assert list(on_disk(session)) == [100.0]
    assert session.undo() == 1
    assert session.entry(1)["label"] == 4
    assert session.undo() == 1
    assert session.entry(1)["label"] is None
    assert session.undo() == 0
    assert session.entry(0) == {"item": 0, "label": 0, "grade": None, "skipped": False}
    assert session.undo() == 0
    assert session.undo() is None
    assert on_disk(session) == {}
    assert [session.redo() for _ in range(5)] == [0, 0, 1, 1, None]
    assert list(on_disk(session)) == [100.0]
    session.undo()
    session.label(2, 2, None)
    assert session.redo() is None
    assert list(on_disk(session)) == [100.0, 101.0, 102.0]


def test_the_same_label_again_is_no_change(start: Start) -> None:
    session = start()
    session.label(0, 0, 3.0)
    revision = session.progress()["revision"]
    session.label(0, 0, 3.0)
    assert session.progress()["revision"] == revision
    session.undo()
    assert session.undo() is None


def test_skipped_images_are_marked_until_they_are_labelled(start: Start) -> None:
    session = start()
    session.skip(4)
    assert session.entry(4)["skipped"]
    assert not session.file.path.exists()
    assert session.state()["entries"] == [{"item": 4, "label": None, "grade": None, "skipped": True}]
    session.label(4, 0, None)
    assert not session.entry(4)["skipped"]
    session.undo()
    assert session.entry(4)["skipped"]
    session.undo()
    assert not session.entry(4)["skipped"]


def test_a_session_goes_on_where_the_last_one_ended(start: Start) -> None:
    first = start(order="active")
    queue = first.queue
    for item in queue[:7]:
        first.label(item, item % 6, 1.0)
    first.file.close()
    again = start(order="active")
    assert again.queue == queue
    assert sorted(entry["item"] for entry in again.state()["entries"]) == sorted(queue[:7])  # type: ignore[attr-defined]
    assert again.undo() is None


def test_the_second_pass_hides_the_first_and_is_measured(start: Start) -> None:
    session = start()
    for item in range(12):
        session.label(item, item % 3, 2.0)
    session.choose(2, "active")
    assert sorted(session.queue) == list(range(12))
    assert session.queue != tuple(range(12))
    assert session.state()["entries"] == []
    assert all(session.entry(item)["label"] is None for item in range(12))
    assert session.agreement() is None
    for item in range(6):
        session.label(item, 0, 1.5)
    assert on_disk(session)[101.0] == ("weak_structured", "structured")
    assert on_disk(session)[111.0] == ("localized",)
    found = session.agreement()
    assert found is not None
    assert (found.images, found.same, found.graded, found.grade_difference) == (6, 2 / 6, 6, 0.5)
    with pytest.raises(imn.ArgumentError, match="item 20 has no first label"):
        session.label(20, 0, None)
    session.clear(0)
    assert on_disk(session)[100.0] == ("structured",)
    assert session.undo() == 0
    session.choose(1, "rank")
    assert session.entry(1) == {"item": 1, "label": 1, "grade": 2.0, "skipped": False}
    assert session.undo() is None
    session.label(1, 4, 0.0)
    assert on_disk(session)[101.0] == ("unstructured", "structured")
    session.clear(1)
    assert 101.0 not in on_disk(session)
    session.undo()
    assert session.file.rows[1].second == Label(0, 1.5)


def test_a_second_pass_needs_a_first_one(start: Start) -> None:
    session = start()
    with pytest.raises(imn.ArgumentError, match="a second pass needs labels of a first one"):
        session.choose(2, "rank")
    with pytest.raises(imn.ArgumentError, match="pass must be 1 or 2, not 3"):
        session.choose(3, "rank")
    with pytest.raises(imn.ArgumentError, match="order must be active or rank, not 'x'"):
        session.choose(1, "x")


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        ((-1, 0, None), "item must be from 0 to 29, not -1"),
        ((30, 0, None), "item must be from 0 to 29, not 30"),
        ((0, 6, None), "label must be from 0 to 5, not 6"),
        ((0, -1, None), "label must be from 0 to 5, not -1"),
        ((0, 0, 3.5), r"grade must be from 0 to 3 in steps of 0\.5, not 3\.5"),
        ((0, 0, 1.2), r"in steps of 0\.5, not 1\.2"),
        ((0, 0, float("nan")), r"in steps of 0\.5, not nan"),
    ],
)
def test_wrong_values_change_nothing(start: Start, arguments: tuple[Any, ...], cause: str) -> None:
    session = start()
    with pytest.raises(imn.ArgumentError, match=cause):
        session.label(*arguments)
    assert not session.file.path.exists()
    assert session.undo() is None


def test_a_label_that_cannot_be_saved_is_taken_back(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    session = start()
    session.label(0, 0, 3.0)
    session.file.path.write_text("changed elsewhere\n")
    before = session.progress()
    for change in (lambda: session.label(0, 4, 0.0), lambda: session.label(1, 4, 0.0), session.undo):
        with pytest.raises(imn.FileError, match="was changed by another program"):
            change()
    assert session.progress() == before
    assert session.entry(0)["label"] == 0
    assert session.entry(1)["label"] is None
    assert session.file.path.read_text() == "changed elsewhere\n"


def test_a_view_that_is_out_of_date_is_refused(start: Start) -> None:
    session = start()
    session.label(0, 0, None, revision=0)
    for change in (
        lambda: session.label(1, 0, None, revision=0),
        lambda: session.clear(0, revision=0),
        lambda: session.skip(1, revision=0),
        lambda: session.undo(revision=0),
        lambda: session.redo(revision=0),
        lambda: session.choose(2, "rank", revision=0),
    ):
        with pytest.raises(StaleError, match="another window has changed the labels"):
            change()
    session.label(1, 0, None, revision=1)
    assert len(on_disk(session)) == 2


def test_many_threads_lose_no_label(start: Start) -> None:
    session = start(n=60)
    threads = [
        threading.Thread(target=lambda k=k: [session.label(item, k, None) for item in range(10 * k, 10 * k + 10)])
        for k in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert on_disk(session) == {100.0 + item: (imn.CLASSES[item // 10],) for item in range(60)}


def test_an_ended_session_writes_nothing(start: Start) -> None:
    session = start()
    session.label(0, 0, None)
    session.close()
    with pytest.raises(imn.FileError, match=r"labels\.csv: the session has ended; start it again"):
        session.label(1, 0, None)
    assert list(on_disk(session)) == [100.0]
    assert session.entry(1)["label"] is None


def test_images_are_read_ahead_in_the_order_of_the_queue() -> None:
    reads: list[list[int]] = []
    candidates = make_candidates(60, reads)
    pictures = Pictures(candidates, lambda: range(59, -1, -1))
    image = pictures.image(59)
    assert (np.isnan(image[0, 0]), image[-1, -1]) == (True, 60.0)
    for item in range(58, 36, -1):
        assert pictures.image(item)[-1, -1] == item + 1
    assert reads == [[59], list(range(58, 35, -1))]
    pictures.image(35)
    assert reads[2] == list(range(35, 11, -1))
    assert [len(read) for read in reads] == [1, 23, 24]


def test_kept_images_take_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ionmorphnet.labelling.pictures._KEPT_BYTES", 5 * 4 * SHAPE[0] * SHAPE[1])
    monkeypatch.setattr("ionmorphnet.labelling.pictures._READ_BYTES", 3 * 4 * SHAPE[0] * SHAPE[1])
    reads: list[list[int]] = []
    pictures = Pictures(make_candidates(30, reads), lambda: range(30))
    for item in (*range(30), 3, 29):
        assert pictures.image(item)[-1, -1] == item + 1
        assert len(pictures._kept) <= 5
        assert pictures._bytes == sum(image.nbytes for image in pictures._kept.values())
    assert max(len(read) for read in reads) <= 3
    with pytest.raises(imn.ArgumentError, match="item must be from 0 to 29, not 30"):
        pictures.image(30)


def test_large_images_are_shown_as_block_means() -> None:
    image = np.random.default_rng(0).random((1500, 2100), np.float32)
    pictures = Pictures(make_candidates(1, read=lambda items: [image for _ in items]), lambda: [0])
    assert pictures.image(0).shape == (500, 700)
    assert pictures.image(0)[0, 0] == pytest.approx(image[:3, :3].mean())


def test_the_square_root_lifts_faint_signal() -> None:
    from io import BytesIO

    from PIL import Image

    image = np.full((10, 10), 0.25, np.float32)
    image[:, 5:] = 1.0
    image[0, 0] = np.nan
    linear, root = (np.asarray(Image.open(BytesIO(draw(image, scale))).convert("RGBA")) for scale in (False, True))
    assert linear[0, 0, 3] == root[0, 0, 3] == 0
    np.testing.assert_array_equal(linear[5, 9], root[5, 9])
    half = np.asarray(Image.open(BytesIO(draw(np.where(image < 1, np.float32(0.5), image)))).convert("RGBA"))
    np.testing.assert_array_equal(root[5, 0], half[5, 0])
    assert (linear[5, 0] != root[5, 0]).any()


def test_the_outline_surrounds_the_region() -> None:
    mask = np.zeros((4, 5), bool)
    mask[1:3, 2:5] = True
    assert outline(mask) == "M2 1h3M2 3h3M2 1v2M5 1v2"
    mask[:] = True
    mask[2, 2] = False
    lines = outline(mask)
    assert lines.count("h") + lines.count("v") == 8
    assert outline(np.zeros((3, 3), bool)) == ""
