"""What clients were told of a topic's records, and what must therefore be on the disks (design rules 3, 4 and 5)."""

from collections import Counter
from dataclasses import dataclass, field

from power_disk import PowerDisk
from segment_fixtures import TOPIC

from walrus.core.metadata.commands import SEALED, AnyCommand
from walrus.core.metadata.state import Metadata, quorums
from walrus.core.segment.messages import DONE, UNKNOWN
from walrus.core.segment.replica import Key, segment_path
from walrus.core.storage.blocks import payloads_of, split_blocks
from walrus.sim.damage import pieces_of


def records_of(disk: PowerDisk, key: Key) -> list[bytes]:
    """The records of a copy, read from its file as far as it is sound."""
    path = segment_path(key)
    data = disk.files.get(path, b"")
    records: list[bytes] = []
    for start, end in pieces_of(path, data):
        piece = data[start:end]
        blocks = split_blocks(piece)
        assert blocks is not None
        records += [payload for block in blocks for payload in payloads_of(piece, block)]
    return records


@dataclass
class Ledger:
    """``acknowledged`` has the records of each segment that a client was told of, in order. ``lost``: (node, segment)
    of copies whose file was taken away. ``metadata`` is what has committed.
    """

    disks: dict[int, PowerDisk]
    acknowledged: dict[Key, list[bytes]] = field(default_factory=dict)
    told: dict[bytes, int] = field(default_factory=dict)  # payload -> what its client was told, if anything
    lost: set[tuple[int, int]] = field(default_factory=set)  # membership only
    metadata: Metadata = field(default_factory=Metadata)
    counts: dict[int, int] = field(default_factory=dict)  # SEALED

    def ended(self, key: Key, status: int, payloads: list[bytes]) -> None:
        """A writer says what became of PUTs."""
        for payload in payloads:
            assert payload not in self.told, f"{payload!r} was answered twice"
            self.told[payload] = status
        if status == DONE:
            known = self.acknowledged.setdefault(key, [])
            known += payloads
            count = self.counts.get(key[1], len(known))
            assert len(known) <= count, f"{len(known)} records of {key} acknowledged, SEALED at {count}"

    def committed(self, command: AnyCommand) -> None:
        """The metadata moves; a count that it fixes must cover what was acknowledged, and enough must hold it."""
        self.metadata.apply(command)
        for change in self.metadata.drain():
            if not change.segment or change.segment in self.counts:
                continue
            segment = self.metadata.topics[change.topic].segments[change.segment - 1]
            if segment.state == SEALED:
                self.counts[segment.number] = segment.count
                self._check_seal((change.topic, segment.number), segment.count, [node for node, _ in segment.members])

    def _check_seal(self, key: Key, count: int, members: list[int]) -> None:
        known = self.acknowledged.get(key, [])
        assert count >= len(known), f"{key} SEALED at {count}, {len(known)} records were acknowledged"
        holders = 0
        for node in members:
            records = records_of(self.disks[node], key)
            if (node, key[1]) in self.lost:
                holders += 1  # it held them when it said so
            elif len(records) >= count:
                holders += 1
                assert records[: len(known)] == known, f"copy of {key} on node {node} has other records"
        assert holders >= quorums(len(members))[0], f"{key} SEALED at {count}, which only {holders} of {members} hold"

    def check_copies(self) -> None:
        """All copies of a segment are beginnings of one log, of which the acknowledged records are a beginning."""
        for number in range(1, len(self.metadata.topics[TOPIC].segments) + 1):
            key = (TOPIC, number)
            copies = {node: records_of(disk, key) for node, disk in self.disks.items()}
            longest = max(copies.values(), key=len)
            for node, records in copies.items():
                assert records == longest[: len(records)], f"copy of {key} on node {node} is no beginning of the others"
            known = self.acknowledged.get(key, [])
            assert len(longest) >= len(known) or self.lost, f"records of {key} are on no disk"
            assert longest[: len(known)] == known[: len(longest)], f"{key} has other records than were acknowledged"

    def judge(self, states: dict[int, Metadata]) -> None:
        """At the end: nothing acknowledged is missing, nothing refused is there, nothing stands twice."""
        self.check_copies()
        seen: Counter[bytes] = Counter()
        for segment in self.metadata.topics[TOPIC].segments:
            key = (TOPIC, segment.number)
            for state in states.values():
                assert state.topics[TOPIC].segments[segment.number - 1].count == segment.count
            copies = [records_of(self.disks[node], key) for node, _ in segment.members]
            longest = max(copies, key=len)
            if segment.state == SEALED:
                assert self.counts[segment.number] == segment.count, f"the count of {key} has changed"
                assert all(len(records) == segment.count for records in copies), f"copies of {key} are not whole"
            known = self.acknowledged.get(key, [])
            assert longest[: len(known)] == known, f"acknowledged records of {key} are missing"
            seen.update(longest)
        assert not [payload for payload, times in seen.items() if times > 1], "a record stands twice"
        refused = [payload for payload in seen if self.told.get(payload, UNKNOWN) not in (DONE, UNKNOWN)]
        assert not refused, f"records that were refused, or moved on, are there: {refused}"
