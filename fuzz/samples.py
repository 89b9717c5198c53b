"""Valid inputs of every target and some damaged ones; ``python -m fuzz.samples`` writes them to ``fuzz/corpus``.

They are built by the shipped encoders from fixed values, so a change of a format shows as a changed corpus.
"""

from pathlib import Path
from typing import Final

import msgspec

from walrus.core import peer
from walrus.core.codec import encode_message
from walrus.core.peer import ENTRY_CONFIG, ENTRY_NOOP, ENTRY_NORMAL, Entry, Envelope, Message
from walrus.core.raft.output import HardState
from walrus.core.segment import messages
from walrus.core.storage import catalogue, journal
from walrus.core.storage.appender import Tokens
from walrus.core.storage.blocks import SegmentHeader, encode_block, encode_header
from walrus.core.storage.recordlog import RecordLog
from walrus.core.wire import encode_frame

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
    peer.Heartbeat(3, 41, 9, 40, (1, 2)),
    peer.HeartbeatReply(3, 41),
    peer.TimeoutNow(3),
    peer.JoinRequest(4, 8, "node4:6004"),
    peer.JoinReply(77, 1, "node1:6001", ""),
    peer.Propose(1 << 40, b"command"),
    peer.ProposeReply(1 << 40, 12, False, "topic logs exists"),
    peer.ReadIndex(5),
    peer.ReadIndexReply(5, 12),
    peer.Ping(answer=False),
    messages.Append("logs", 1, 2, 1, 0, encode_block(0, 2, 1_000, 0, [b"a", b"bc"])),
    messages.AppendAck("logs", 1, 2, messages.ACCEPTED, 2, 2, 1),
    messages.Fence("logs", 1, 3),
    messages.FenceReply("logs", 1, 3, messages.ACCEPTED, 2),
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

CATALOGUE_RECORDS: Final = (
    catalogue.Held("logs", 1, 1),
    catalogue.Fenced("logs", 1, 2),
    catalogue.Complete("logs", 1, 5),
    catalogue.Held("logs", 2, 1),
    catalogue.Fenced("other", 1, 4),
    catalogue.Held("other", 1, 6),
    catalogue.Dropped("logs", 2),
)

BLOCKS: Final = (
    encode_block(0, 1, 1_000, 0, [b"a", b"", b"ccc"]),
    encode_block(3, 1, 2_000, 3, [b"d" * 200]),
    encode_block(4, 2, 3_000, 4, [b"e", b"f"]),
)

REQUESTS: Final = (
    *(b"REGISTER logs", b"PUT logs hello world", b"PUT logs ", b"GET logs", b"STATE logs", b"METRICS", b"TOPICS"),
    *(b"FETCH logs 1 0", b"FETCH logs 0 0", b"PUT", b"NONSENSE", b"GET bad/name"),
)


def journal_payload(record: object) -> bytes:
    """What the journal stores of one of JOURNAL_RECORDS."""
    if isinstance(record, HardState | Entry):
        return journal.encode_raft(record)
    return journal.encode_record(record)


def record_file(magic: bytes, payloads: list[bytes]) -> tuple[bytes, list[int]]:
    """A record file written one durable record at a time, and the file's length after the header and each record."""
    tokens = Tokens()
    log = RecordLog.create("sample", magic, NODE, STORAGE, tokens)
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


def catalogue_file() -> bytes:
    return record_file(catalogue.CATALOGUE_MAGIC, [catalogue.encode_record(r) for r in CATALOGUE_RECORDS])[0]


def segment_file() -> bytes:
    return encode_header(HEADER) + b"".join(BLOCKS)


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


def samples() -> dict[str, dict[str, bytes]]:
    """Target name -> sample name -> input."""
    stream = b"".join(encode_frame(request) for request in REQUESTS)
    wire = {
        "requests": stream,
        "empty-frame": encode_frame(b"") + encode_frame(b"GET logs"),
        "long-frame": encode_frame(b"PUT logs " + bytes(300)) + encode_frame(b"GET logs"),
        "half-frame": stream[:-4],
        "http": b"GET /metrics?x=1 HTTP/1.1\r\nHost: node\r\n\r\n",
        "http-half": b"HEAD /health HTTP/1.0\r\n",
    }
    wire = {name: bytes([number * 37]) + data for number, (name, data) in enumerate(wire.items())}  # how to chunk it
    peers = {type(message).__name__: encode_message(ENVELOPE, message) for message in MESSAGES}
    peers["not-utf8"] = encode_message(ENVELOPE, peer.JoinRequest(1, 2, "node1")).replace(b"node1", b"node\xff")
    peers["deep"] = encode_message(ENVELOPE, peer.Ping(answer=True)).replace(b"\x92", b"\x93", 1) + b"\x91" * 2_000
    return {
        "client_wire": wire,
        "peer_codec": peers,
        "journal": _damaged("journal", journal_file()),
        "journal_record": {
            f"{number}-{type(record).__name__}": journal_payload(record)
            for number, record in enumerate(JOURNAL_RECORDS)
        },
        "catalogue": _damaged("catalogue", catalogue_file()),
        "catalogue_record": {
            f"{number}-{type(record).__name__}": catalogue.encode_record(record)
            for number, record in enumerate(CATALOGUE_RECORDS)
        }
        | {"not-utf8": msgspec.msgpack.encode(catalogue.Held("logs", 1, 1)).replace(b"logs", b"log\xff")},
        "segment_scan": _damaged("segment", segment_file()),
    }


def main() -> None:
    for target, inputs in samples().items():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in inputs.items():
            (folder / name).write_bytes(data)


if __name__ == "__main__":
    main()
