"""Clients that write and read all the time, and the judgement of what they saw.

Every payload is unique. The outcome of a PUT is one of three: acknowledged (must be there, once, in the order of its
writer), refused (must not be there) or unknown (there once, or not at all). A writer never sends a payload twice.
"""

import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cluster import Cluster, eventually

from walrus.client.errors import NotConnected, OutcomeUnknown, ServerError
from walrus.client.sync import WalrusClient

_ANSWER_TIMEOUT_S = 20.0
_PAUSE_S = 0.02  # after a failure, so that a client of a dead cluster does not spin
_EXPECTED = ("NotLeaderForPartition: ", "no raft leader known")  # what a node without a lease or leader may answer


class Client(threading.Thread, ABC):
    """Asks one thing after the other, through the first of its addresses that answers, until told to stop.

    One that ``roams`` turns to the next address after every failure, others only where the connection breaks.
    """

    def __init__(
        self, name: str, topic: str, addresses: Sequence[str], *, roams: bool = False, patience_s: float = 0.0
    ) -> None:
        super().__init__(name=name, daemon=True)
        self.topic = topic
        self.surprise: BaseException | None = None  # an answer that no client should ever get
        self._addresses = list(addresses)
        self._roams = roams
        self._patience_s = patience_s or _ANSWER_TIMEOUT_S
        self._stop_asked = threading.Event()

    def run(self) -> None:
        while not self._stop_asked.is_set() and self.surprise is None:
            with WalrusClient(self._addresses, self._patience_s) as client:
                self._use(client)
            self._addresses.append(self._addresses.pop(0))

    def _use(self, client: WalrusClient) -> None:
        """Ask until told to stop, or to turn to another address."""
        while not self._stop_asked.is_set() and self.surprise is None:
            if not self.ask(client):
                self._stop_asked.wait(_PAUSE_S)
                if self._roams:
                    return

    @abstractmethod
    def ask(self, client: WalrusClient) -> bool:
        """Make one request and note what came of it; False: not at once again."""

    def note_refusal(self, error: ServerError) -> None:
        if not error.text.startswith(_EXPECTED):
            self.surprise = error

    def finish(self) -> None:
        self._stop_asked.set()
        self.join()
        assert self.surprise is None


class Writer(Client):
    """PUTs one record after the other, each of them filled up to ``record_bytes``."""

    def __init__(
        self,
        name: str,
        topic: str,
        addresses: Sequence[str],
        *,
        record_bytes: int = 0,
        roams: bool = False,
        patience_s: float = 0.0,
    ) -> None:
        super().__init__(name, topic, addresses, roams=roams, patience_s=patience_s)
        self.acknowledged: list[bytes] = []
        self.acknowledged_ns: list[int] = []  # when each of them was, by the monotonic clock
        self.refused: list[bytes] = []
        self.unknown: list[bytes] = []
        self._record_bytes = record_bytes
        self._number = 0

    def ask(self, client: WalrusClient) -> bool:
        payload = (b"%s-%d" % (self.name.encode(), self._number)).ljust(self._record_bytes, b".")
        self._number += 1
        try:
            client.put(self.topic, payload)
        except OutcomeUnknown:
            self.unknown.append(payload)
        except ServerError as error:
            self.refused.append(payload)
            self.note_refusal(error)
        except NotConnected:
            self.refused.append(payload)
        else:
            self.acknowledged.append(payload)
            self.acknowledged_ns.append(time.monotonic_ns())
            return True
        return False

    def until_acknowledged(self, more: int = 20) -> None:
        """Wait for so many acknowledgements from now on."""
        goal = len(self.acknowledged) + more
        eventually(
            lambda: len(self.acknowledged) >= goal or not self.is_alive(), f"{more} acknowledgements to {self.name}"
        )
        assert self.surprise is None


class Consumer(Client):
    """GETs all the time. ``events``: a record, or None for a GET whose outcome is unknown."""

    def __init__(self, topic: str, addresses: Sequence[str], *, roams: bool = False, patience_s: float = 0.0) -> None:
        super().__init__(f"consumer of {topic}", topic, addresses, roams=roams, patience_s=patience_s)
        self.events: list[bytes | None] = []
        self.delivered = 0

    def ask(self, client: WalrusClient) -> bool:
        try:
            payload = client.get(self.topic)
        except OutcomeUnknown:
            self.events.append(None)
            return False
        except ServerError as error:
            self.note_refusal(error)
            return False
        except NotConnected:
            return False
        if payload is None:
            return False
        self.events.append(payload)
        self.delivered += 1
        return True

    def floor(self, cluster: Cluster) -> tuple[int, int]:
        """For :func:`judge_gets`: below the cursor that is committed now, nothing comes any more.

        The GET under way may already have its record, from before that commit; it makes one event at most.
        """
        cursor: int = cluster.state(self.topic)["cursor"]
        return len(self.events) + 1, cursor

    def until_delivered(self, more: int = 20) -> None:
        goal = self.delivered + more
        eventually(lambda: self.delivered >= goal or not self.is_alive(), f"{more} records by GET")
        assert self.surprise is None


class Tail(Client):
    """FETCHes the topic from its beginning, and what is added to it."""

    def __init__(self, topic: str, addresses: Sequence[str], *, roams: bool = False, patience_s: float = 0.0) -> None:
        super().__init__(f"tail of {topic}", topic, addresses, roams=roams, patience_s=patience_s)
        self.records: list[bytes] = []

    def ask(self, client: WalrusClient) -> bool:
        try:
            record = client.fetch(self.topic, 1, len(self.records))
        except ServerError as error:
            self.note_refusal(error)
            return False
        except NotConnected:
            return False
        if record is None:
            return False
        self.records.append(record.payload)
        return True


@dataclass(frozen=True)
class Verdict:
    """What is wrong with the records of a topic; all of it empty where nothing is."""

    lost: list[bytes]  # acknowledged, and not there
    doubled: list[bytes]
    reordered: list[bytes]  # acknowledged, but not behind what its writer had written before
    revived: list[bytes]  # refused, but there
    foreign: list[bytes]  # nobody wrote it


SOUND = Verdict([], [], [], [], [])


def verdict(records: Sequence[bytes], writers: Iterable[Writer]) -> Verdict:
    """Compare what is there with what the clients were told."""
    position = {payload: at for at, payload in enumerate(records)}
    found = Verdict([], [payload for payload, count in Counter(records).items() if count > 1], [], [], [])
    known: set[bytes] = set()
    for writer in writers:
        found.lost.extend(payload for payload in writer.acknowledged if payload not in position)
        found.revived.extend(payload for payload in writer.refused if payload in position)
        highest = -1
        for payload in writer.acknowledged:
            at = position.get(payload, highest)
            if at < highest:
                found.reordered.append(payload)
            highest = max(highest, at)
        known.update(writer.acknowledged, writer.unknown, writer.refused)
    found.foreign.extend(payload for payload in records if payload not in known)
    return found


def judge(records: Sequence[bytes], writers: Iterable[Writer]) -> None:
    """No acknowledged record is lost, doubled or out of order; nothing is there that was not written."""
    found = verdict(records, writers)
    assert found == SOUND, f"of {len(records)} records"


def judge_counts(cluster: Cluster, topic: str, records: Sequence[bytes]) -> None:
    """The sealed counts add up to where every segment begins, and to no more than what is there."""
    state = cluster.state(topic)
    sealed: dict[str, int] = state["sealed_segments"]
    assert sorted(map(int, sealed)) == list(range(1, state["current_segment"]))
    assert sorted(map(int, state["segment_leaders"])) == list(range(1, state["current_segment"] + 1))
    total = sum(sealed.values())
    assert state["last_sealed_entry_offset"] == total <= len(records)
    first = cluster.segments_read(topic, cluster.running()[0])
    begin = 0
    for number in range(1, state["current_segment"] + 1):
        assert first.get(number) == (records[begin] if begin < len(records) else None)
        begin += sealed.get(str(number), 0)


def judge_everywhere(cluster: Cluster, topic: str, writers: Sequence[Writer]) -> list[bytes]:
    """All of it, read through every node; the records."""
    records = cluster.read_all(topic, cluster.running()[0])
    judge(records, writers)
    judge_counts(cluster, topic, records)
    for node in cluster.running()[1:]:
        assert cluster.read_all(topic, node) == records, f"node {node} shows something else"
    return records


def judge_gets(records: Sequence[bytes], events: Sequence[bytes | None], floors: Sequence[tuple[int, int]]) -> None:
    """GETs went through ``records`` in order, skipped nothing, and never went back below what was committed.

    ``floors``: (number of an event, cursor that was committed before it was asked for), ascending. A GET of unknown
    outcome may have consumed one record, or the record may come again later.
    """
    position = {payload: at for at, payload in enumerate(records)}
    seen: set[int] = set()
    waiting = list(floors)
    floor = high = late = 0
    for number, event in enumerate(events):
        while waiting and number >= waiting[0][0]:
            floor = waiting.pop(0)[1]
        if event is None:
            continue
        assert event in position, f"GET {number} returned {event[:40]!r}, which is not there"
        at = position[event]
        assert at >= floor, f"GET {number} went back to record {at}, below the committed cursor {floor}"
        late += at < high and at not in seen
        seen.add(at)
        high = max(high, at + 1)
    unknown = sum(event is None for event in events)
    skipped = sorted(set(range(high)) - seen)
    assert len(skipped) + late <= unknown, f"GET skipped {skipped}, {late} came late, {unknown} GETs are unknown"
