"""walrus-cli backup: what it prints where, and with which code it ends."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from fake_server import FakeServer, free_port
from fake_topics import FakeTopics

from walrus.cli.client import main


def run(address: str, *arguments: object) -> Result:
    return CliRunner().invoke(main, ["--addr", address, "backup", *map(str, arguments)])


@pytest.fixture
def cluster() -> FakeTopics:
    cluster = FakeTopics(segment_entries=10)
    cluster.put("t", *(b"record %d" % number for number in range(25))).cursor = 4
    cluster.put("other", b"x")
    return cluster


def test_a_backup_is_made_listed_verified_and_restored(cluster: FakeTopics, tmp_path: Path) -> None:
    place = tmp_path / "place"
    fresh = FakeTopics(cluster=2)
    with FakeServer(cluster) as server, FakeServer(fresh) as target:
        made = run(server.address, "create", place)
        assert (made.exit_code, made.stderr) == (
            0,
            "26 records of 2 topics: copied 4 objects (0.0 MB), 0 were there\n",
        )
        backup = made.stdout.strip()
        assert f"{backup:<20}  0000000000000001        2             26" in run("x:1", "ls", place).output
        (listed,) = json.loads(run("x:1", "ls", place, "--format", "json").stdout)
        assert (listed["backup"], listed["topics"], listed["records"]) == (backup, 2, 26)
        sound = run("x:1", "verify", place)
        assert (sound.exit_code, sound.stdout) == (0, "")
        assert sound.stderr == "1 backups, 4 objects, 0.0 MB: all sound\n"
        back = run(target.address, "restore", place)
        assert (back.exit_code, back.stdout, back.stderr) == (0, f"{backup}\n", "26 records of 2 topics restored\n")
    assert (fresh.topics["t"].records, fresh.topics["t"].cursor) == (cluster.topics["t"].records, 4)


def test_only_the_topics_that_were_named_are_backed_up_and_restored(cluster: FakeTopics, tmp_path: Path) -> None:
    fresh = FakeTopics(cluster=2)
    with FakeServer(cluster) as server, FakeServer(fresh) as target:
        assert run(server.address, "create", tmp_path, "--topic", "t").exit_code == 0
        assert run(server.address, "create", tmp_path).exit_code == 0
        assert run(target.address, "restore", tmp_path, "--topic", "other").exit_code == 0
        assert set(fresh.topics) == {"other"}
        first = json.loads(run("x:1", "ls", tmp_path, "--format", "json").stdout)[0]["backup"]
        refused = run(target.address, "restore", tmp_path, "--backup", first, "--topic", "other")
        assert (refused.exit_code, refused.stderr) == (1, f"backup {first} has no topic other\n")


def test_another_node_is_asked_when_one_does_not_answer(cluster: FakeTopics, tmp_path: Path) -> None:
    with FakeServer(cluster) as server:
        made = run(f"127.0.0.1:{free_port()},{server.address}", "create", tmp_path)
    assert made.exit_code == 0


def test_damage_is_named_and_ends_with_1(cluster: FakeTopics, tmp_path: Path) -> None:
    with FakeServer(cluster) as server:
        backup = run(server.address, "create", tmp_path).stdout.strip()
    name = "records/t/0000000002/000000000000"
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[:-40] + b"!" + data[-39:])
    (tmp_path / "records/t/0000000001/000000000000").unlink()
    found = run("x:1", "verify", tmp_path, backup)
    assert found.exit_code == 1
    assert found.stdout == (
        f"records/t/0000000001/000000000000: missing from {tmp_path}\n"
        f"{name}: its checksum is wrong: some of its bytes have changed, or it was cut off\n"
    )
    assert found.stderr == "1 backups, 4 objects, 0.0 MB: 2 things are wrong\n"
    manifest = tmp_path / f"backups/{backup}.json"
    manifest.write_bytes(manifest.read_bytes()[:-1])
    for command in ("ls", "verify", "restore"):
        result = run("x:1", command, tmp_path)
        assert result.exit_code == 1
        assert f"backups/{backup}.json: no whole manifest of a backup" in result.output


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("create", "DIR", "--topic", "nope"), 1, "ERR unknown topic nope\n"),
        (("create", "DIR", "--topic", "no good"), 2, "invalid topic name 'no good'"),
        (("create", "nosuch://x"), 1, "nosuch://x: "),
        (("verify", "DIR"), 1, "there is no backup there\n"),
        (("restore", "DIR"), 1, "there is no backup there\n"),
        (("restore", "DIR", "--backup", "z"), 1, "there is no backup z; there are: none\n"),
        (("create",), 2, "Missing argument 'PLACE'"),
    ],
)
def test_what_cannot_be_ends_with_a_sentence(
    cluster: FakeTopics, tmp_path: Path, arguments: tuple[str, ...], code: int, told: str
) -> None:
    with FakeServer(cluster) as server:
        result = run(server.address, *(str(tmp_path) if word == "DIR" else word for word in arguments))
    assert result.exit_code == code
    assert told in result.stderr


def test_a_cluster_that_cannot_be_reached_ends_with_3(tmp_path: Path) -> None:
    assert run(f"127.0.0.1:{free_port()}", "create", tmp_path).exit_code == 3
    assert list(tmp_path.iterdir()) == []


def test_settings_that_the_cluster_does_not_take_are_named(cluster: FakeTopics, tmp_path: Path) -> None:
    cluster.topics["t"].settings = {"retention_ms": 5000}
    fresh = FakeTopics(cluster=2)
    inner = fresh._reply
    fresh._reply = lambda frame: b"ERR unknown command" if frame.startswith(b"SET ") else inner(frame)  # type: ignore[method-assign]
    with FakeServer(cluster) as server, FakeServer(fresh) as target:
        assert run(server.address, "create", tmp_path).exit_code == 0
        refused = run(target.address, "restore", tmp_path)
    assert refused.exit_code == 1
    assert refused.stderr.startswith(
        "topic t has its records, but this cluster does not take its settings retention_ms=5000: unknown command"
    )
