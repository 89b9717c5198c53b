"""Clients that write and read all the time, and the judgement of what they saw.

Every payload is unique. The outcome of a PUT is one of three: acknowledged (must be there, once, in the order of its
writer), refused (must not be there) or unknown (there once, or not at all). A writer never sends a payload twice.
"""

import threading
from collections import Counter
from collections.abc import Iterable, Sequence

from cluster import Cluster, eventually

from walrus.client.errors import NotConnected, OutcomeUnknown, ServerError
from walrus.client.sync import WalrusClient

_ANSWER_TIMEOUT_S = 20.0
_PAUSE_S = 0.02  # after a failure, so that a client of a dead cluster does not spin


class Writer(threading.Thread):
    """PUTs one record after the other, through the first of its addresses that answers, until told to stop."""

    def __init__(self, name: str, topic: str, addresses: Sequence[str]) -> None:
        super().__init__(name=name, daemon=True)
        self.topic = topic
        self.acknowledged: list[bytes] = []
        self.refused: list[bytes] = []
        self.unknown: list[bytes] = []
        self.surprise: BaseException | None = None  # an answer that no client should ever get
        self._addresses = addresses
        self._stop_asked = threading.Event()

    def run(self) -> None:
        with WalrusClient(self._addresses, _ANSWER_TIMEOUT_S) as client:
            number = 0
            while not self._stop_asked.is_set() and self.surprise is None:
                self._put(client, b"%s-%d" % (self.name.encode(), number))
                number += 1

    def _put(self, client: WalrusClient, payload: bytes) -> None:
        try:
            client.put(self.topic, payload)
        except OutcomeUnknown:
            self.unknown.append(payload)
        except ServerError as error:
            self.refused.append(payload)
            if not error.text.startswith(("NotLeaderForPartition: ", "no raft leader known")):
                self.surprise = error
        except NotConnected:
            self.refused.append(payload)
        else:
            self.acknowledged.append(payload)
            return
        self._stop_asked.wait(_PAUSE_S)

    def until_acknowledged(self, more: int = 20) -> None:
        """Wait for so many acknowledgements from now on."""
        goal = len(self.acknowledged) + more
        eventually(
            lambda: len(self.acknowledged) >= goal or not self.is_alive(), f"{more} acknowledgements to {self.name}"
        )
        assert self.surprise is None

    def finish(self) -> None:
        self._stop_asked.set()
        self.join()
        assert self.surprise is None


class Consumer(threading.Thread):
    """GETs all the time. ``events``: a record, or None for a GET whose outcome is unknown."""

    def __init__(self, topic: str, addresses: Sequence[str]) -> None:
        super().__init__(name=f"consumer of {topic}", daemon=True)
        self.topic = topic
        self.events: list[bytes | None] = []
        self.delivered = 0
        self.surprise: BaseException | None = None
        self._addresses = addresses
        self._stop_asked = threading.Event()

    def run(self) -> None:
        with WalrusClient(self._addresses, _ANSWER_TIMEOUT_S) as client:
            while not self._stop_asked.is_set() and self.surprise is None:
                if not self._get(client):
                    self._stop_asked.wait(_PAUSE_S)

    def _get(self, client: WalrusClient) -> bool:
        try:
            payload = client.get(self.topic)
        except OutcomeUnknown:
            self.events.append(None)
            return False
        except ServerError as error:
            if not error.text.startswith(("NotLeaderForPartition: ", "no raft leader known")):
                self.surprise = error
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

    def finish(self) -> None:
        self._stop_asked.set()
        self.join()
        assert self.surprise is None


def judge(records: Sequence[bytes], writers: Iterable[Writer]) -> None:
    """No acknowledged record is lost, doubled or out of order; nothing is there that was not written."""
    assert [payload for payload, count in Counter(records).items() if count > 1] == [], "doubled"
    position = {payload: at for at, payload in enumerate(records)}
    known: set[bytes] = set()
    for writer in writers:
        lost = [payload for payload in writer.acknowledged if payload not in position]
        assert lost == [], f"lost {len(lost)} of {len(writer.acknowledged)}"
        places = [position[payload] for payload in writer.acknowledged]
        assert places == sorted(places), f"records of {writer.name} out of order"
        assert [payload for payload in writer.refused if payload in position] == [], "refused, but there"
        known.update(writer.acknowledged, writer.unknown)
    assert set(records) - known == set(), "nobody wrote these"


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
        at = position[event]
        assert at >= floor, f"GET {number} went back to record {at}, below the committed cursor {floor}"
        late += at < high and at not in seen
        seen.add(at)
        high = max(high, at + 1)
    unknown = sum(event is None for event in events)
    skipped = sorted(set(range(high)) - seen)
    assert len(skipped) + late <= unknown, f"GET skipped {skipped}, {late} came late, {unknown} GETs are unknown"
