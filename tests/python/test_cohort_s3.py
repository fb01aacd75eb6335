"""Cohorts in an object store: inputs and results on a local S3 server, with broken transfers."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import ionmorphnet as imn
from ionmorphnet.cohort import find_consensus, plan, run, write_matrix, write_tables
from ionmorphnet.cohort.storage import remote_state, staged
from object_store import Bucket, Faults, faulty_proxy

pytest.importorskip("moto", reason="needs the test extra [cluster-test]")
pytest.importorskip("s3fs", reason="S3 needs the extra [s3]")

PICK: dict[str, Any] = {"scorer": "moran", "top": 3}
_names = itertools.count()
pytestmark = [
    # Connections that are cut are left to the garbage collector by the clients.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module")
def faults() -> Faults:
    return Faults()


@pytest.fixture(scope="module")
def server(faults: Faults) -> Iterator[Any]:
    """The server; everything of this module reaches it through the proxy that breaks connections."""
    import boto3
    from moto.server import ThreadedMotoServer

    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    port = moto.get_host_and_port()[1]
    settings = {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
    }
    with pytest.MonkeyPatch.context() as patch, faulty_proxy(port, faults) as open_port:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
            patch.delenv(name, raising=False)
        for name, value in settings.items():
            patch.setenv(name, value)
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{open_port}")
        patch.setattr("ionmorphnet.cohort.stores._PAUSE", 0.0)
        yield boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1")
    moto.stop()


@pytest.fixture
def bucket(server: Any, faults: Faults) -> Iterator[Bucket]:
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    faults.cuts = 0
    faults.requests.clear()
    yield Bucket(server, f"bucket{next(_names)}")
    faults.cuts = 0


@pytest.fixture(scope="module")
def sections(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sections")
    for k in range(3):
        imn.simulate(root / f"s{k}.imzML", shape=(20, 22), n_channels=30, seed=k)
    return root


@pytest.fixture
def urls(bucket: Bucket, sections: Path) -> list[str]:
    return [
        bucket.put(path.with_suffix(suffix), f"in/{path.stem}{suffix}")
        for path in sorted(sections.glob("*.imzML"))
        for suffix in (".ibd", ".imzML")
        if suffix == ".imzML" or bucket.put(path.with_suffix(".ibd"), f"in/{path.stem}.ibd")
    ][1::2]


def uploaded(bucket: Bucket, out: Path) -> dict[str, bytes]:
    """The tables of a local study, and nothing else, under the names that they have in the bucket."""
    return {f"out/{path.relative_to(out)}": path.read_bytes() for path in (out / "sections").rglob("*.csv")}


def test_inputs_are_staged_and_removed(urls: list[str], sections: Path, tmp_path: Path) -> None:
    (tmp_path / "stage").mkdir()
    assert not run(urls, tmp_path / "out", stage=tmp_path / "stage", jobs=1, **PICK).failed
    assert not list((tmp_path / "stage").iterdir())
    run(sections, tmp_path / "calm", jobs=1, **PICK)
    for path in (tmp_path / "calm/sections").rglob("*.csv"):
        assert path.read_bytes() == (tmp_path / "out" / path.relative_to(tmp_path / "calm")).read_bytes()
    record = imn.open_run(tmp_path / "out/sections/s0").run
    assert record is not None
    assert (record.input.path, record.input.ibd_path) == (urls[0], urls[0].replace(".imzML", ".ibd"))
    with pytest.raises(imn.FileError, match=rf"{urls[0]}: is behind a URL; copy both files here"):
        record.input.reopen()


def test_a_connection_that_is_cut_is_made_again(urls: list[str], faults: Faults, sections: Path) -> None:
    faults.only, faults.cuts = b".ibd", 2
    with staged(urls[0]) as path:
        assert path.with_suffix(".ibd").read_bytes() == (sections / "s0.ibd").read_bytes()
    assert faults.cuts == 0
    faults.only, faults.cuts = b"GET ", 10**6
    with pytest.raises(imn.FileError) as caught, staged(urls[0]):
        pass
    assert "copying failed 3 times" in str(caught.value)
    assert "run the same command again" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_copy_of_another_size_is_refused(urls: list[str], bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    whole = s3fs.S3FileSystem.info

    def longer(self: Any, path: str, *args: Any, **options: Any) -> Any:
        found = whole(self, path, *args, **options)
        return {**found, "size": found["size"] + 5} if path.endswith(".ibd") else found

    monkeypatch.setattr(s3fs.S3FileSystem, "info", longer)
    with (
        pytest.raises(
            imn.FileError, match=r"in/s0\.ibd: copying failed 3 times: \d+ of \d+ bytes arrived; run the same"
        ),
        staged(urls[0]),
    ):
        pass


def test_a_truncated_object_fails_alone_and_is_named_by_its_url(
    urls: list[str], bucket: Bucket, sections: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "s1.ibd"
    cut.write_bytes((sections / "s1.ibd").read_bytes()[:-3000])
    bucket.put(cut, "in/s1.ibd")
    (failed,) = run(urls, tmp_path / "out", jobs=1, **PICK).failed
    assert failed.name == "s1"
    assert f"{urls[1].removesuffix('.imzML')}" in failed.reason
    assert "/tmp" not in failed.reason
    # Put right, it is picked; the others are not again.
    bucket.put(sections / "s1.ibd", "in/s1.ibd")
    again = run(urls, tmp_path / "out", jobs=1, **PICK)
    assert [each.action for each in again.planned] == ["skip", "pick", "skip"]
    assert not again.failed


def test_results_go_to_the_store_and_the_same_command_goes_on(bucket: Bucket, sections: Path, tmp_path: Path) -> None:
    out = f"s3://{bucket.name}/out"
    (sections / "broken.imzML").write_text("<mzML>")
    done = run(sections, out, jobs=2, stage=tmp_path, **PICK)
    (sections / "broken.imzML").unlink()
    assert done.out == out
    assert [each.name for each in done.failed] == ["broken"]
    run(sections, tmp_path / "calm", jobs=2, **PICK)
    for key, content in uploaded(bucket, tmp_path / "calm").items():
        assert bucket.read(key) == content
    assert {key.rpartition("/")[2] for key in bucket.names("out/sections/s0/")} == {
        path.name for path in (tmp_path / "calm/sections/s0").iterdir() if not path.name.startswith(".")
    }
    assert bucket.read("out/manifest.csv").decode().count("done") == 3
    assert len(bucket.read("out/manifest.jsonl").splitlines()) == 4
    assert not [key for key in bucket.names() if "probe" in key]
    assert {path.name for path in tmp_path.iterdir()} == {"calm"}  # nothing is left of the copies

    before = bucket.times("out/sections/")
    again = run(sections, out, jobs=2, **PICK)
    assert {each.action for each in again.planned} == {"skip"}
    bucket.client.delete_object(Bucket=bucket.name, Key="out/sections/s1/run.json")
    assert {each.sample.name: each.why for each in plan(sections, out, **PICK)}["s1"] == "its result is gone"
    assert not run(sections, out, jobs=2, **PICK).failed
    after = bucket.times("out/sections/")
    assert set(after) == set(before)
    assert {key for key in after if after[key] != before[key]} <= {key for key in after if "/s1/" in key}


def test_a_killed_run_is_resumed_without_loss(bucket: Bucket, sections: Path, tmp_path: Path) -> None:
    out = f"s3://{bucket.name}/out"
    (tmp_path / "main.py").write_text(
        "import ionmorphnet as imn\n"
        "if __name__ == '__main__':\n"
        f"    imn.cohort.run({str(sections)!r}, {out!r}, jobs=1, scorer='moran', top=3,\n"
        "        progress=lambda p: p.last and print(p.last.name, flush=True))\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}
    parent = subprocess.Popen([sys.executable, tmp_path / "main.py"], stdout=subprocess.PIPE, env=env, text=True)
    assert parent.stdout is not None
    first = parent.stdout.readline().strip()
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert first in {json.loads(line)["name"] for line in bucket.read("out/manifest.jsonl").splitlines()}
    before = bucket.times(f"out/sections/{first}/")
    again = run(sections, out, jobs=1, **PICK)
    assert not again.failed
    assert {each.sample.name: each.action for each in again.planned}[first] == "skip"
    assert bucket.times(f"out/sections/{first}/") == before
    run(sections, tmp_path / "calm", jobs=1, **PICK)
    for key, content in uploaded(bucket, tmp_path / "calm").items():
        assert bucket.read(key) == content


def test_shards_share_a_store(bucket: Bucket, sections: Path, cli: Callable[..., Any]) -> None:
    out = f"s3://{bucket.name}/out"
    for k in (1, 2):
        assert not run(sections, out, shard=f"{k}/2", jobs=1, **PICK).failed
    assert {"out/manifest-1of2.jsonl", "out/manifest-2of2.jsonl"} <= set(bucket.names())
    assert {each.action for each in plan(sections, out, **PICK)} == {"skip"}
    bucket.client.delete_object(Bucket=bucket.name, Key="out/manifest.csv")
    assert cli("cohort", "merge", out).stdout == f"{out}/manifest.csv: 3 sections\n"
    assert bucket.read("out/manifest.csv").decode().count("done") == 3
    assert "3 done, 0 failed" in cli("cohort", "status", out).stdout


def test_an_upload_that_breaks_is_repeated_or_leaves_no_complete_result(
    bucket: Bucket, sections: Path, faults: Faults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ionmorphnet.cohort.stores import Store
    from ionmorphnet.cohort.study_folder import upload_result

    run(sections, tmp_path / "out", jobs=1, **PICK)
    folder, url = tmp_path / "out/sections/s0", f"s3://{bucket.name}/out/sections"
    record = imn.open_run(folder).run
    assert record is not None
    faults.only, faults.after, faults.cuts = b"PUT ", 0, 1
    upload_result(folder, url, "s0", record.input, overwrite=False)
    assert faults.cuts == 0
    for path in folder.glob("[!.]*"):
        assert bucket.read(f"out/sections/s0/{path.name}") == path.read_bytes()

    order: list[str] = []
    put = Store.put

    def breaks(self: Store, source: Path, name: str, **options: Any) -> None:
        order.append(name)
        if len(order) == 2:
            raise imn.FileError(f"{self.url_of(name)}: gone")
        put(self, source, name, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "put", breaks)
        with pytest.raises(imn.FileError, match="gone"):
            upload_result(folder, url, "s0", record.input, overwrite=False)
    assert "out/sections/s0/run.json" not in bucket.names()  # half new, half old: no result
    upload_result(folder, url, "s0", record.input, overwrite=False)
    assert "out/sections/s0/run.json" in bucket.names()


def test_a_result_that_is_not_of_the_study_is_not_replaced(bucket: Bucket, sections: Path, tmp_path: Path) -> None:
    out = f"s3://{bucket.name}/out"
    other = tmp_path / "s0.imzML"
    imn.simulate(other, shape=(16, 18), n_channels=20, seed=9)
    run(other, out, jobs=1, **PICK)
    kept = bucket.read("out/sections/s0/scores.csv")
    bucket.client.delete_object(Bucket=bucket.name, Key="out/manifest.jsonl")
    (failed,) = run(sections, out, jobs=1, **PICK).failed
    assert f"{out}/sections/s0: holds the result of {other}" in failed.reason
    assert bucket.read("out/sections/s0/scores.csv") == kept


def test_two_runs_of_one_study_do_not_lose_entries(bucket: Bucket, sections: Path) -> None:
    out = f"s3://{bucket.name}/out"

    def intrude(_: object) -> None:
        bucket.client.put_object(Bucket=bucket.name, Key="out/manifest.jsonl", Body=b"")

    with pytest.raises(imn.FileError, match=rf"^{out}/manifest\.jsonl: another cohort run works on it; wait"):
        run(sections, out, jobs=1, progress=intrude, **PICK)


def test_consensus_and_matrix_are_those_of_a_folder(
    bucket: Bucket, urls: list[str], sections: Path, tmp_path: Path, cli: Callable[..., Any]
) -> None:
    zarr = pytest.importorskip("zarr")
    out = f"s3://{bucket.name}/out"
    run(urls[:2], out, jobs=2, **PICK)
    run([sections / "s0.imzML", sections / "s1.imzML"], tmp_path / "calm", jobs=2, **PICK)
    assert f"{out}/consensus/channels.csv" in cli("cohort", "consensus", out, "--min-share", 0.2).stdout
    find_consensus(tmp_path / "calm", min_share=0.2)
    for name in ("channels.csv", "members.csv", "drift.csv"):
        assert bucket.read(f"out/consensus/{name}") == (tmp_path / "calm/consensus" / name).read_bytes()
    done = cli("cohort", "matrix", out, "--normalize", "tic", "--stage", tmp_path / "stage")
    assert f"{out}/cohort.zarr: 880 pixels x " in done.stdout
    assert not list((tmp_path / "stage").iterdir())
    calm = write_matrix(tmp_path / "calm", normalize="tic")
    (tmp_path / "means.csv").write_bytes(bucket.read("out/means.csv"))
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "means.csv"), pd.read_csv(tmp_path / "calm/means.csv"))
    assert bucket.read("out/consensus/relatives.csv") == (tmp_path / "calm/consensus/relatives.csv").read_bytes()
    stored = zarr.open_group(out + "/cohort.zarr", mode="r")["X"][:]
    np.testing.assert_array_equal(stored, zarr.open_group(calm.path, mode="r")["X"][:])
    # What is there is neither read nor uploaded again; what is new is complete.
    before = bucket.times("out/matrix/")
    write_matrix(out, normalize="tic")
    assert bucket.times("out/matrix/") == before
    with pytest.raises(imn.FileError, match=rf"^s3://{bucket.name}/other: holds no manifest"):
        find_consensus(f"s3://{bucket.name}/other")


def test_ray_workers_upload_their_results(bucket: Bucket, urls: list[str], sections: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec("ray") is None:
        pytest.skip("needs the extra [ray]")
    out = f"s3://{bucket.name}/out"
    assert not run(urls, out, ray="local", **PICK).failed
    run(sections, tmp_path / "calm", jobs=2, **PICK)
    for key, content in uploaded(bucket, tmp_path / "calm").items():
        assert bucket.read(key) == content
    assert {each.action for each in plan(urls, out, **PICK)} == {"skip"}


@pytest.mark.parametrize("missing", ["credentials", "bucket", "server", "access"])
def test_what_is_wrong_is_told_in_a_line_with_a_remedy(
    bucket: Bucket, urls: list[str], missing: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import s3fs

    url = urls[0]
    if missing == "credentials":
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("HOME", str(tmp_path))
        cause, remedy = "no credentials for the store", "AWS_ACCESS_KEY_ID"
    elif missing == "bucket":
        url = "s3://no-such-bucket/in/s0.imzML"
        cause, remedy = "no such file", "check the URL"
    elif missing == "server":
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        cause, remedy = "the connection failed", "check the address and the network"
    else:

        def denied(*_: object, **__: object) -> None:
            raise PermissionError("Forbidden")

        monkeypatch.setattr(s3fs.S3FileSystem, "_info", denied)
        monkeypatch.setattr(s3fs.S3FileSystem, "info", denied)
        cause, remedy = "the store denies access (Forbidden)", "AWS_PROFILE"
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(imn.FileError) as caught:
        remote_state(url)
    text = str(caught.value)
    assert text.startswith(f"{url}: {cause}"), text
    assert remedy in text
    assert "\n" not in text
    # The section fails alone, with this reason.
    assert [each.why for each in plan([url], tmp_path / "out", **PICK)] == [text]


def test_an_out_that_cannot_be_written_is_told_before_the_work(
    bucket: Bucket, sections: Path, cli: Callable[..., Any]
) -> None:
    command = ["cohort", "run", sections, "--scorer", "moran", "--top", "3", "-o"]
    cli(*command, "s3://no-such-bucket/out").is_one_line_error("s3://no-such-bucket/out: no such file", "check")
    cli("cohort", "tables", f"s3://{bucket.name}/out").is_one_line_error(
        "this command works in a folder; copy the study"
    )


def test_tables_of_a_study_behind_a_url(urls: list[str], bucket: Bucket, sections: Path, tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    out = f"s3://{bucket.name}/out"
    for place, inputs in ((out, urls), (str(tmp_path / "calm"), [sections])):
        assert not run(inputs, place, jobs=1, **PICK).failed
        find_consensus(place, min_share=0.0)
        write_matrix(place)
    (tmp_path / "stage").mkdir()
    done = write_tables(out, formats="csv,scils", stage=tmp_path / "stage")
    here = write_tables(tmp_path / "calm", formats="csv,scils")
    assert not list((tmp_path / "stage").iterdir())
    assert done.folder == f"{out}/tables"
    assert set(bucket.names("out/tables/")) == {f"out/tables/{name}" for name in done.files}
    for name in here.files.keys() - {"tables.json"}:
        assert bucket.read(f"out/tables/{name}") == (Path(here.folder) / name).read_bytes()
    assert write_tables(out, formats="csv,scils").already_done
    only = write_tables(out, to=tmp_path / "mine", formats="scils")
    assert sorted(path.name for path in Path(only.folder).iterdir()) == ["scils", "scils.csv", "tables.json"]
    with pytest.raises(imn.ArgumentError, match="tables are written to a folder"):
        write_tables(out, to=f"s3://{bucket.name}/other")
