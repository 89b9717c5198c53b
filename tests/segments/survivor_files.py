"""The files of one of three nodes, of which an unsafe recovery is to make something."""

import random

from core_node import WALL_NS

from fuzz.samples import BLOCKS, HEADER, NODE, STARTUP_RECORDS, STORAGE, catalogue_of, journal_payload, record_file
from walrus.core.config import MS
from walrus.core.metadata import commands
from walrus.core.metadata.snapshot import Snapshot
from walrus.core.peer import ENTRY_CONFIG, ENTRY_NORMAL, Entry
from walrus.core.raft.membership import MemberInfo, Membership
from walrus.core.storage.blocks import SegmentHeader, encode_header
from walrus.core.storage.catalogue import CATALOGUE_PATH, Held
from walrus.core.storage.journal import JOURNAL_MAGIC, JOURNAL_PATH
from walrus.core.storage.snapshotfile import decode_file
from walrus.core.survivor import Survival, survive

CLUSTER = HEADER.cluster
THREE = Membership(
    tuple(MemberInfo(node, storage, f"node{node}:1", voter=True) for node, storage in ((1, STORAGE), (2, 9), (3, 8)))
)


def copy_of(topic: str, segment: int, *more: bytes, blocks: int = 3) -> bytes:
    """The file of a copy with so many of the samples' blocks (three, one, two records), and then others."""
    return b"".join((encode_header(SegmentHeader(NODE, STORAGE, CLUSTER, topic, segment)), *BLOCKS[:blocks], *more))


WHOLE = copy_of("logs", 1)


def directory(
    *more: commands.AnyCommand, copy: bytes = WHOLE, notes: tuple[object, ...] = (), members: Membership = THREE
) -> dict[str, bytes]:
    """A node of three that has logs:1, SEALED with six records, and in whose log logs:2 is open."""
    records = [*STARTUP_RECORDS, Entry(8, 2, ENTRY_CONFIG, members.encode())]
    records += [Entry(9 + n, 2, ENTRY_NORMAL, commands.encode(command)) for n, command in enumerate(more)]
    return {
        JOURNAL_PATH: record_file(JOURNAL_MAGIC, [journal_payload(record) for record in records])[0],
        CATALOGUE_PATH: catalogue_of(Held("logs", 1, 1), *notes),
        "user_data/logs:1.wal": copy,
    }


def recovered(files: dict[str, bytes], node: int = NODE) -> Survival:
    """What is to be done to the files."""
    sizes = {path: len(data) for path, data in sorted(files.items())}

    def read(path: str, offset: int, length: int) -> bytes:
        return files[path][offset : offset + length]

    return survive(node, sizes, read, random.Random(5), WALL_NS // MS, "a test")


def state_of(made: Survival) -> Snapshot:
    """The metadata that the node is to start from."""
    return decode_file(made.snapshot_file).snapshot
