"""Valid inputs of every target and some damaged ones; ``python -m fuzz.samples`` writes them to ``fuzz/corpus``.

They are built by the shipped encoders from fixed values, so a change of a format shows as a changed corpus.
"""

from pathlib import Path
from typing import Final

import msgspec

from walrus.core import peer
from walrus.core.codec import encode_message
from walrus.core.metadata import commands, snapshot
from walrus.core.metadata.overrides import UnsafeRecovery
from walrus.core.metadata.snapshot import Snapshot
from walrus.core.metadata.state import Metadata
from walrus.core.peer import ENTRY_CONFIG, ENTRY_NOOP, ENTRY_NORMAL, Entry, Envelope, Message
from walrus.core.raft.membership import MemberInfo, Membership
from walrus.core.raft.output import HardState
from walrus.core.segment import messages
from walrus.core.segment.replica import segment_path
from walrus.core.storage import catalogue, journal, recordlog, snapshotfile
from walrus.core.storage.appender import Tokens
from walrus.core.storage.blocks import SegmentHeader, encode_block, encode_header
from walrus.core.storage.recordlog import RecordLog, encode_whole
from walrus.core.wire import encode_frame
from walrus.io.peer_frames import LENGTH, NO_NODE, encode_hello
from walrus.sim import scenario
from walrus.sim.deeds import AnyDeed, Ask, Crash, Cut, Mend, MessageFate, Request, StartNode
from walrus.sim.setup import NodeSetup, Setup

CORPUS: Final = Path(__file__).resolve().parent / "corpus"

NODE: Final = 1
STORAGE: Final = 0x1234567890ABCDEF
ENVELOPE: Final = Envelope(cluster=77, sender=NODE, sender_storage=STORAGE, recipient=2, recipient_storage=9)
HEADER: Final = SegmentHeader(NODE, STORAGE, 77, "logs", 1)

MESSAGES: Final[tuple[Message, ...]] = (
    peer.RequestVote(3, 10, 2, pre=True, transfer=False),
    peer.VoteReply(3, granted=True, pre=False),
    peer.AppendEntries(3, 9, 2, [Entry(10, 3, ENTRY_NORMAL, b"command"), Entry(11, 3, ENTRY_NOOP, b"")], 9),
    peer.AppendReply(3, False, 0, 9, 2, 7),
    peer.InstallSnapshot(3, 9, 2, 0x89ABCDEF, 10, 4, b"piece"),
    peer.SnapshotReply(3, 9, 0x89ABCDEF, 9, installed=False),
    peer.Heartbeat(3, 41, 9, 40, (1, 2)),
    peer.HeartbeatReply(3, 41, 0),
    peer.TimeoutNow(3),
    peer.JoinRequest(4, 8, "node4:6004"),
    peer.JoinReply(77, 1, "node1:6001", ""),
    peer.Removed(4, 8),
    peer.Removed(4, 8, 77),
    peer.Propose(1 << 40, b"command"),
    peer.ProposeReply(1 << 40, 12, False, "topic logs exists"),
    peer.ReadIndex(5),
    peer.ReadIndexReply(5, 12),
    peer.Ping(answer=False),
    peer.Farewell(1 << 40, answer=True),
    messages.Append("logs", 1, 2, 1, 0, encode_block(0, 2, 1_000, 0, [b"a", b"bc"])),
    messages.AppendAck("logs", 1, 2, messages.ACCEPTED, 2, 2, 1),
    messages.Fence("logs", 1, 3),
    messages.FenceReply("logs", 1, 3, messages.ACCEPTED, 2, 610),
    messages.Repair("logs", 1, 3, 2, 1),
    messages.Hold("logs", 1, 2, 4),
    messages.Holding("logs", 1, 4),
    messages.ReadBlocks(6, "logs", 1, 0, messages.READ_CLIENT, 0, 1 << 20),
    messages.ReadBlocksReply(6, messages.READ_OK, encode_block(0, 2, 1_000, 0, [b"a"])),
    messages.ForwardPuts(7, "logs", 1, [b"a", b""]),
    messages.PutsDone(7, 2, messages.DONE),
    messages.ForwardGet(8, "logs", 1),
    messages.GetDone(8, messages.DONE, "logs", 1, 0, b"a"),
    messages.GetDelivered("logs", 1, 0, delivered=True),
)

MEMBER: Final = (NODE, STORAGE)
COMMANDS: Final[tuple[commands.AnyCommand, ...]] = (
    commands.RegisterNode(*MEMBER, 1, "node:1", "node:9091"),
    commands.CreateTopic("logs", (*MEMBER, 1), (MEMBER,)),
    commands.BeginSealing("logs", 1, commands.OPEN, 0, NODE, 1),
    commands.Seal("logs", 1, commands.SEALING, 1, 6, (MEMBER,), (*MEMBER, 2), (MEMBER, (2, 9)), (1, 4), 610, 9),
    commands.ChangeSet("logs", 1, commands.OPEN, 0, 1, (MEMBER, (2, 9))),
    commands.CommitCursors((*MEMBER, 1), (commands.CursorCommit("logs", 1, 1, 3),)),
    commands.SetNodeState(*MEMBER, commands.DRAINING),
    commands.ConfigureTopic("logs", 1, 0, retention_ms=1_000, retention_records=3),
    commands.RemoveTopic("old", 1),
    commands.TrimTopic("logs", 1, 2, 1_700_000_000_000),
)

FOUNDER: Final = MemberInfo(*MEMBER, "node:1", voter=True)
MEMBERSHIPS: Final = (
    Membership((FOUNDER,)),
    Membership((FOUNDER, MemberInfo(2, 9, "node:2", voter=True), MemberInfo(3, 8, "node:3", voter=False))),
    Membership((FOUNDER,), ((2, 9), (3, 8))),
)

JOURNAL_RECORDS: Final = (
    journal.Boot(1),
    journal.Cluster(77),
    HardState(1, 1),
    Entry(1, 1, ENTRY_CONFIG, b"members"),
    Entry(2, 1, ENTRY_NORMAL, b"first"),
    HardState(2, 3),
    Entry(2, 2, ENTRY_NOOP, b""),
    journal.Boot(2),
)

CUT_JOURNAL_RECORDS: Final = (
    journal.Cluster(77),
    journal.Boot(2),
    HardState(2, 3),
    journal.Base(3, 1),
    Entry(4, 1, ENTRY_NORMAL, b"fourth"),
    Entry(5, 2, ENTRY_NOOP, b""),
)

STARTUP_RECORDS: Final = (  # the journal of a node that made a cluster, ran twice and sealed its first segment
    journal.Boot(1),
    journal.Cluster(77),
    HardState(1, NODE),
    Entry(1, 1, ENTRY_CONFIG, MEMBERSHIPS[0].encode()),
    Entry(2, 1, ENTRY_NOOP, b""),
    Entry(3, 1, ENTRY_NORMAL, commands.encode(COMMANDS[0])),
    Entry(4, 1, ENTRY_NORMAL, commands.encode(COMMANDS[1])),
    journal.Boot(2),
    HardState(2, NODE),
    Entry(5, 2, ENTRY_NOOP, b""),
    Entry(6, 2, ENTRY_NORMAL, commands.encode(COMMANDS[2])),
    Entry(7, 2, ENTRY_NORMAL, commands.encode(COMMANDS[3])),
)


def _snapshot(upto: int, *recoveries: UnsafeRecovery, cluster: int = 77) -> Snapshot:
    """What the entries of STARTUP_RECORDS up to an index come to."""
    metadata, members, last = Metadata(), MEMBERSHIPS[0], None
    for record in STARTUP_RECORDS:
        if isinstance(record, Entry) and record.index <= upto:
            last = record
            if record.kind == ENTRY_NORMAL:
                metadata.apply(commands.decode(record.data))
    assert last is not None
    metadata.recoveries = recoveries
    return snapshot.take(metadata, cluster, upto, last.term, members)


RECOVERY: Final = UnsafeRecovery(77, NODE, 8, 3, 1_700_000_000_000, "root on host", (2, 3), (("logs", 1, 5),))
SNAPSHOTS: Final = {f"upto-{upto}": snapshot.encode(_snapshot(upto)) for upto in (2, 4, 6, 7)} | {
    "survived": snapshot.encode(_snapshot(7, RECOVERY, cluster=79)),
}

CATALOGUE_RECORDS: Final = (
    catalogue.Held("logs", 1, 1),
    catalogue.Fenced("logs", 1, 2),
    catalogue.Durable("logs", 1, 4),
    catalogue.Complete("logs", 1, 5),
    catalogue.Held("logs", 2, 1),
    catalogue.Fenced("other", 1, 4),
    catalogue.Held("other", 1, 6),
    catalogue.Unsynced("other", 1, "8f0e2c1a-0000-4000-8000-000000000001"),
    catalogue.Synced("other", 1),
    catalogue.Dropped("logs", 2),
    catalogue.Whole("other", 2, True, 3, 1, 7, False),
    catalogue.Durable("other", 2, 6),
    catalogue.Durable("other", 1, 9),
    catalogue.Incomplete("other", 1),
)

BLOCKS: Final = (
    encode_block(0, 1, 1_000, 0, [b"a", b"", b"ccc"]),
    encode_block(3, 1, 2_000, 3, [b"d" * 200]),
    encode_block(4, 2, 3_000, 4, [b"e", b"f"]),
)

REQUESTS: Final = (
    *(b"REGISTER logs", b"PUT logs hello world", b"PUT logs ", b"GET logs", b"STATE logs", b"METRICS", b"TOPICS"),
    *(b"FETCH logs 1 0", b"FETCH logs 0 0", b"PUT", b"NONSENSE", b"GET bad/name"),
    *(b"SET logs retention_ms=5 retention_bytes=0", b"CREATE a x=", b"INFO a", b"DELETE logs"),
)


def journal_payload(record: object) -> bytes:
    """What the journal stores of a record, or of what Raft gives it."""
    if isinstance(record, HardState | Entry):
        return journal.encode_raft(record)
    return journal.encode_record(record)


def record_file(magic: bytes, payloads: list[bytes], version: int = 0) -> tuple[bytes, list[int]]:
    """A record file written one durable record at a time, and the file's length after the header and each record.

    ``version`` 0: the newest.
    """
    tokens = Tokens()
    newest = catalogue.CATALOGUE_VERSION if magic == catalogue.CATALOGUE_MAGIC else recordlog.FORMAT_VERSION
    log = RecordLog.create("sample", magic, NODE, STORAGE, tokens, version=version or newest)
    data = b""
    ends = []
    for payload in [None, *payloads]:
        if payload is not None:
            log.append(payload)
        write = log.appender.flush()
        assert write is not None
        data += write.data
        ends.append(len(data))
        log.appender.completed(write.token)
    return data, ends


def journal_file() -> bytes:
    return record_file(journal.JOURNAL_MAGIC, [journal_payload(record) for record in JOURNAL_RECORDS])[0]


def cut_journal_file(*more: object) -> bytes:
    """A journal as it is after it was cut."""
    payloads = [journal_payload(record) for record in (*CUT_JOURNAL_RECORDS, *more)]
    return encode_whole(journal.JOURNAL_MAGIC, NODE, STORAGE, payloads)


def snapshot_file(name: str = "upto-4") -> bytes:
    return snapshotfile.encode_file(NODE, STORAGE, SNAPSHOTS[name])


def segment_file() -> bytes:
    return encode_header(HEADER) + b"".join(BLOCKS)


def catalogue_of(*records: object) -> bytes:
    return record_file(catalogue.CATALOGUE_MAGIC, [catalogue.encode_record(record) for record in records])[0]


def catalogue_of_version_1(*records: object) -> bytes:
    """A catalogue as programs wrote it that knew of no marks."""
    return record_file(catalogue.CATALOGUE_MAGIC, [catalogue.encode_record(record) for record in records], 1)[0]


def catalogue_file() -> bytes:
    return catalogue_of(*CATALOGUE_RECORDS)


STARTUP_PATHS: Final = (
    *(journal.JOURNAL_PATH, snapshotfile.SNAPSHOT_PATH, catalogue.CATALOGUE_PATH),
    segment_path((HEADER.topic, HEADER.segment)),
)
_BETWEEN_FILES: Final = b"\n--8<--\n"


def packed(files: dict[str, bytes]) -> bytes:
    """The files of a data directory as one input: journal, snapshot, catalogue, copy; "-" stands for a missing one."""
    return _BETWEEN_FILES.join(files.get(path, b"-") for path in STARTUP_PATHS)


def unpacked(data: bytes) -> dict[str, bytes]:
    """The files that are packed in ``data``."""
    parts = data.split(_BETWEEN_FILES, len(STARTUP_PATHS) - 1)
    return {path: part for path, part in zip(STARTUP_PATHS, parts, strict=False) if part != b"-"}


def _damaged(name: str, data: bytes) -> dict[str, bytes]:
    """A valid file, and ways a crash or a bad disk may have left it."""
    middle = len(data) // 2
    flipped = bytearray(data)
    flipped[middle] ^= 0x10
    return {
        name: data,
        f"{name}-preallocated": data + bytes(64),
        f"{name}-torn": data[:-3],
        f"{name}-torn-then-zeros": data[:-3] + bytes(64),
        f"{name}-corrupt-middle": bytes(flipped),
        f"{name}-only-zeros": bytes(96),
    }


def _wire() -> dict[str, bytes]:
    stream = b"".join(encode_frame(request) for request in REQUESTS)
    wire = {
        "requests": stream,
        "empty-frame": encode_frame(b"") + encode_frame(b"GET logs"),
        "long-frame": encode_frame(b"PUT logs " + bytes(300)) + encode_frame(b"GET logs"),
        "half-frame": stream[:-4],
        "http": b"GET /metrics?x=1 HTTP/1.1\r\nHost: node\r\n\r\n",
        "http-half": b"HEAD /health HTTP/1.0\r\n",
        "http-accept": b"GET /metrics HTTP/1.1\r\nAccept: */*;q=0.3, text/plain;version=0.0.4;q=0.9\r\n\r\n",
    }
    return {name: bytes([number * 37]) + data for number, (name, data) in enumerate(wire.items())}  # how to chunk it


def _replies() -> dict[str, bytes]:
    """The first byte says how the rest is cut."""
    bodies = {
        "ok": [b"OK", b"EMPTY", b"OK 8 record", b"OK  two spaces"],
        "errors": [b"ERR unknown topic t", b"ERR outcome unknown: t:1", b"ERR ", b"ERR \xff"],
        "json": [b'{"topic": "t", "segments": [1, 2.5, null]}', b'["a", "\\ud800"]', b"{", b"9" * 30],
        "too-many": [b"OK"] * 5,
        "deep": [b"[" * 2_000],
        "endless-number": [b"OK " + b"9" * 5_000 + b" x"],
    }
    streams = {name: b"\x06" + b"".join(map(encode_frame, replies)) for name, replies in bodies.items()}
    return streams | {"not-walrus": b"\x40SSH-2.0-OpenSSH_9.6\r\n", "half": b"\x01" + encode_frame(b"OK")[:-1]}


def _peer_streams() -> dict[str, bytes]:
    message = encode_message(ENVELOPE, MESSAGES[0])
    framed = LENGTH.pack(len(message)) + message
    streams = {
        "hello": encode_hello(NODE) + framed + framed,
        "stranger": encode_hello(NO_NODE) + framed[:-3],
        "another-version": encode_hello(NODE).replace(b"WLRSPEER\x01", b"WLRSPEER\x02"),
        "no-hello": framed,
        "empty-frame": encode_hello(NODE) + LENGTH.pack(0),
        "over-long": encode_hello(NODE) + LENGTH.pack(1 << 31),
    }
    return {name: bytes([number * 13]) + data for number, (name, data) in enumerate(streams.items())}


def _is_old(record: object) -> bool:
    return not isinstance(record, catalogue.Durable | catalogue.Whole)


def _startups() -> dict[str, bytes]:
    cut = (
        *(journal.Cluster(77), journal.Boot(2), HardState(2, NODE), journal.Base(4, 1)),
        *(record for record in STARTUP_RECORDS if isinstance(record, Entry) and record.index > 4),
    )
    whole = dict(
        zip(
            STARTUP_PATHS,
            (
                record_file(journal.JOURNAL_MAGIC, [journal_payload(record) for record in STARTUP_RECORDS])[0],
                snapshot_file("upto-6"),
                catalogue_of(catalogue.Held("logs", 1, 1), catalogue.Fenced("logs", 1, 1)),
                segment_file(),
            ),
            strict=True,
        )
    )
    found = {"whole": packed(whole), "fresh": packed({})}
    cut_file = encode_whole(journal.JOURNAL_MAGIC, NODE, STORAGE, [journal_payload(record) for record in cut])
    for name in ("upto-2", "upto-4", "upto-6"):
        files = {STARTUP_PATHS[0]: cut_file, STARTUP_PATHS[1]: snapshot_file(name)}
        found[f"cut-with-snapshot-{name}"] = packed(whole | files)
    found["survived"] = packed(whole | {STARTUP_PATHS[1]: snapshot_file("survived")})
    found["cut-without-snapshot"] = packed(whole | {STARTUP_PATHS[0]: cut_file, STARTUP_PATHS[1]: b""})
    for path in STARTUP_PATHS:
        name = path.split("/")[1].replace(":", "-")
        found[f"without-{name}"] = packed({other: data for other, data in whole.items() if other != path})
        found[f"torn-{name}"] = packed(whole | {path: whole[path][:-3]})
        found[f"empty-{name}"] = packed(whole | {path: b""})
    return found


def _scenario() -> scenario.Scenario:
    """Three nodes, one request, a crash in a partition."""
    node = NodeSetup(
        starts_ns=0, disk_latency_ns=(50_000, 100_000), monitor_interval_ns=10**8, rpc_timeout_ns=10**9, join=(1,)
    )
    setup = Setup(
        nodes=3,
        topics=1,
        node_setups=(msgspec.structs.replace(node, join=()), node, node),
        network_delay_ns=(50_000, 100_000),
        max_segment_entries=4,
        max_segment_bytes=1 << 30,
        replace_after_ns=10**9,
        faults_ns=10**9,
        heal_ns=2 * 10**9,
        rest_ns=0,
        converge_ns=20 * 10**9,
        max_steps=400_000,
        drained=False,
    )
    steps: tuple[AnyDeed, ...] = (
        Ask(1, 2, (Request("PUT", "logs", "a"),)),
        Cut(1, ((2, 3), (3, 2)), "3 from 2"),
        Crash(1, "fuzz", 500_000, torn=True),
        MessageFate(1, 2, "Fence", 1, (0, 10**6)),
        Mend(1),
        StartNode(1),
    )
    timed = tuple(scenario.Step(10**9 + number * 10**8, deed) for number, deed in enumerate(steps))
    return scenario.Scenario(title="a sample", expect="clean", seed=1, setup=setup, steps=timed)


def samples() -> dict[str, dict[str, bytes]]:
    """Target name -> sample name -> input."""
    wire = _wire()
    peers = {type(message).__name__: encode_message(ENVELOPE, message) for message in MESSAGES}
    peers["not-utf8"] = encode_message(ENVELOPE, peer.JoinRequest(1, 2, "node1")).replace(b"node1", b"node\xff")
    peers["deep"] = encode_message(ENVELOPE, peer.Ping(answer=True)).replace(b"\x92", b"\x93", 1) + b"\x91" * 2_000
    not_utf8 = msgspec.msgpack.encode(catalogue.Held("logs", 1, 1)).replace(b"logs", b"log\xff")
    segments = _damaged("segment", segment_file())
    return {
        "client_wire": wire,
        "node_clients": wire,
        "http_head": {name: data[1:] for name, data in wire.items() if name.startswith("http")}
        | {"not-http": b"GET /\r\n\r\n", "endless": b"GET /" + b"x" * 8_200},
        "client_replies": _replies(),
        "peer_frames": _peer_streams(),
        "peer_codec": peers,
        "node_messages": {name: peers[name] for name in ("JoinRequest", "JoinReply", "AppendEntries", "not-utf8")},
        "command": {type(command).__name__: commands.encode(command) for command in COMMANDS},
        "membership": {f"{len(found.members)}-members": found.encode() for found in MEMBERSHIPS},
        "segment_header": {"ours": encode_header(HEADER), "torn": encode_header(HEADER)[:100]},
        "blocks": {f"{count}-blocks": b"".join(BLOCKS[:count]) for count in (1, 2, 3)}
        | {"gap": BLOCKS[0] + BLOCKS[2], "torn": b"".join(BLOCKS)[:-1]},
        "recordlog": _damaged("records", journal_file()),
        "journal": _damaged("journal", journal_file()) | _damaged("cut-journal", cut_journal_file()),
        "snapshot": SNAPSHOTS | {"torn": SNAPSHOTS["upto-7"][:-1], "empty": b""},
        "snapshot_file": _damaged("snapshot", snapshot_file("upto-7")),
        "journal_record": {
            f"{number}-{type(record).__name__}": journal_payload(record)
            for number, record in enumerate((*JOURNAL_RECORDS, CUT_JOURNAL_RECORDS[3]))
        },
        "catalogue": _damaged("catalogue", catalogue_file())
        | {
            "version-1": catalogue_of_version_1(*(record for record in CATALOGUE_RECORDS if _is_old(record))),
            "anew": catalogue.encode_catalogue(NODE, STORAGE, [catalogue.Whole("logs", 1, True, 2, 3, 4, False)]),
        },
        "catalogue_record": {
            f"{number}-{type(record).__name__}": catalogue.encode_record(record)
            for number, record in enumerate(CATALOGUE_RECORDS)
        }
        | {"not-utf8": not_utf8},
        "segment_scan": segments,
        "opening": {
            f"{name}-{word}": bytes([held]) + data
            for name, data in segments.items()
            for held, word in enumerate(("unnoted", "noted"))
        },
        "startup": _startups(),
        "scenario": {
            "whole": (text := scenario.encode(_scenario())).encode(),
            "cut-short": text[:-40].encode(),
            "another-version": text.replace('"format": 1', '"format": 9').encode(),
        },
    }


def main() -> None:
    for target, inputs in samples().items():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in inputs.items():
            (folder / name).write_bytes(data)


if __name__ == "__main__":
    main()
