"""Where backups are kept: a directory, and S3 as a local server speaks it."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_server import FakeServer, free_port
from fake_topics import FakeTopics

from walrus.cli.backup.create import create
from walrus.cli.backup.errors import Missing, PlaceError
from walrus.cli.backup.places import DirectoryPlace, Place, UrlPlace, open_place
from walrus.cli.backup.restore import restore
from walrus.cli.backup.shelf import read_shelf
from walrus.cli.backup.source import Source
from walrus.cli.backup.verify import verify
from walrus.cli.probe import wait_until
from walrus.client import WalrusClient

_NEEDED = ("fsspec", "s3fs", "moto", "flask", "flask_cors", "boto3")
_LACKING = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
needs_s3 = pytest.mark.skipif(bool(_LACKING), reason=f"not installed: {', '.join(_LACKING)}")


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    """moto's S3 server in a process of its own, with the bucket ``backups``."""
    import boto3
    import botocore.exceptions

    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    server = subprocess.Popen(
        [sys.executable, "-c", "from moto.server import main; main()", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
        s3 = boto3.client("s3", endpoint_url=endpoint, **keys)

        def is_amiss() -> str:
            try:
                s3.create_bucket(Bucket="backups")
            except botocore.exceptions.EndpointConnectionError as error:
                return str(error)
            return ""

        assert not wait_until(is_amiss, 90.0)
        yield endpoint
    finally:
        server.kill()
        server.wait()


@pytest.fixture
def s3(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment by which the AWS tools find the server."""
    for name, value in {
        "AWS_ENDPOINT_URL": s3_endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)


def behaves(place: Place) -> None:
    """Objects are there as they were last written, names are found below their prefix, what is missing is named."""
    assert place.names("records/") == {}
    place.write("records/t/1/0", b"first")
    place.write("records/t/1/0", b"other")
    place.write("records/t-2/1/0", b"")
    place.write("backups/x.json", b"{}")
    assert place.names("records/") == {"records/t/1/0": 5, "records/t-2/1/0": 0}
    assert place.read("records/t/1/0") == b"other"
    assert place.read("records/t-2/1/0") == b""
    with pytest.raises(Missing, match=r"records/t/1/7: missing"):
        place.read("records/t/1/7")


def test_a_directory_keeps_objects(tmp_path: Path) -> None:
    behaves(open_place(str(tmp_path / "made" / "by it")))


@needs_s3
def test_a_bucket_keeps_objects(s3: None) -> None:
    behaves(open_place("s3://backups/kept/here/"))


def test_a_file_that_was_being_written_when_the_process_died_is_no_object(tmp_path: Path) -> None:
    place = DirectoryPlace(tmp_path)
    place.write("records/t/1/0", b"whole")
    (tmp_path / "records/t/1/1.77-88.new").write_bytes(b"ha")
    assert place.names("records/") == {"records/t/1/0": 5}


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(PlaceError, match="file/backups/x: Not a directory"):
        open_place(str(tmp_path / "file")).write("backups/x", b"")


def test_a_url_without_fsspec_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(PlaceError, match=r"s3://bucket/x: .* need fsspec: pip install 'distributed-walrus\[s3\]'"):
        open_place("s3://bucket/x")


def test_a_url_whose_kind_of_storage_is_not_installed_or_known_is_refused() -> None:
    pytest.importorskip("fsspec")
    with pytest.raises(PlaceError, match="nosuch://x: Protocol not known: nosuch; give a directory, or a URL such as"):
        open_place("nosuch://x")


@needs_s3
def test_a_bucket_that_is_not_there_is_named(s3: None) -> None:
    with pytest.raises(PlaceError, match="s3://nobody-made-this/x"):
        open_place("s3://nobody-made-this/x").write("backups/y", b"z")


@needs_s3
def test_a_server_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch, s3: None) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(PlaceError, match="s3://backups/"):
        UrlPlace("s3://backups/elsewhere").names("backups/")


@needs_s3
def test_a_backup_in_s3_is_listed_verified_restored_and_extended(s3: None) -> None:
    place = open_place(f"s3://backups/{os.getpid()}")
    cluster, fresh = FakeTopics(segment_entries=9), FakeTopics(cluster=2)
    payloads = [b"%d" % number * 300 for number in range(100)]
    cluster.put("t", *payloads[:70]).cursor = 33
    with FakeServer(cluster) as server, WalrusClient([server.address]) as client:
        create(Source(client), place, ())
        cluster.put("t", *payloads[70:])
        created = create(Source(client), place, ())
    assert (created.kept, created.copied) == (8, 5)
    assert len(read_shelf(place).manifests) == 2
    assert verify(place).wrong == []
    with FakeServer(fresh) as server, WalrusClient([server.address]) as client:
        restore(client, place, created.manifest, ())
    assert (fresh.topics["t"].records, fresh.topics["t"].cursor) == (payloads, 33)
