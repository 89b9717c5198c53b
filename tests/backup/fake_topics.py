"""A whole cluster in a dictionary, its topics with segments, cursors and settings; and a place that can be cut off."""

import json
import threading
from collections.abc import Callable
from itertools import accumulate

from fake_server import Hangup

from walrus.cli.backup.errors import Missing, PlaceError


class FakeTopic:
    """The last of ``segments`` is open."""

    def __init__(self) -> None:
        self.segments: list[list[bytes]] = [[]]
        self.cursor = 0
        self.settings: dict[str, int] = {}
        self.removed = 0  # segments that retention has removed

    @property
    def records(self) -> list[bytes]:
        return [payload for segment in self.segments for payload in segment]

    def roll(self) -> None:
        self.segments.append([])

    def state(self) -> dict[str, object]:
        sealed = {str(n): len(segment) for n, segment in enumerate(self.segments[:-1], 1) if n > self.removed}
        return {
            "current_segment": len(self.segments),
            "sealed_segments": sealed,
            "cursor": self.cursor,
            "earliest_segment": self.removed + 1,
            "earliest_offset": sum(map(len, self.segments[: self.removed])),
            "retention_ms": None,
            **self.settings,
        }


class FakeTopics:
    """A behaviour for :class:`fake_server.FakeServer`. ``before`` is told every request, and may hang up."""

    def __init__(self, cluster: int = 1, segment_entries: int = 1000) -> None:
        self.cluster = f"{cluster:016x}"
        self.topics: dict[str, FakeTopic] = {}
        self.before: Callable[[bytes], None] = lambda frame: None
        self.after: Callable[[bytes], None] = lambda frame: None
        self._segment_entries = segment_entries

    def __call__(self, frame: bytes) -> bytes:
        self.before(frame)
        reply = self._reply(frame)
        self.after(frame)
        return reply

    def put(self, topic: str, *payloads: bytes) -> FakeTopic:
        found = self.topics.setdefault(topic, FakeTopic())
        for payload in payloads:
            found.segments[-1].append(payload)
            if len(found.segments[-1]) == self._segment_entries:
                found.roll()
        return found

    def _reply(self, frame: bytes) -> bytes:
        verb, _, rest = frame.partition(b" ")
        if verb == b"METRICS":
            return json.dumps({"cluster": self.cluster}).encode()
        if verb == b"TOPICS":
            return json.dumps(sorted(self.topics)).encode()
        name, _, argument = rest.partition(b" ")
        if verb == b"REGISTER":
            self.put(name.decode())
            return b"OK"
        topic = self.topics.get(name.decode())
        if topic is None:
            return b"ERR unknown topic " + name
        if verb == b"PUT":
            self.put(name.decode(), argument)
            return b"OK"
        if verb == b"STATE":
            return json.dumps(topic.state()).encode()
        if verb == b"SET":
            topic.settings |= {key: int(value) for key, value in (w.split("=") for w in argument.decode().split())}
            return b"OK"
        if verb == b"FETCH":
            return self._fetch(topic, name, *map(int, argument.split()))
        assert verb == b"GET"
        records = topic.records
        if topic.cursor == len(records):
            return b"EMPTY"
        topic.cursor += 1
        return b"OK " + records[topic.cursor - 1]

    @staticmethod
    def _fetch(topic: FakeTopic, name: bytes, segment: int, offset: int) -> bytes:
        if segment <= topic.removed:
            return b"ERR no such record of %b any more: the earliest is later" % name
        bases = [0, *accumulate(map(len, topic.segments))]
        records = topic.records
        at = bases[segment - 1] + offset
        return b"OK %d %b" % (offset + 1, records[at]) if at < len(records) else b"EMPTY"


class GoneAfter:
    """Hangs up on the ``number``-th PUT or GET; unless ``once`` on whatever comes then, as a cluster that is gone."""

    def __init__(self, number: int, *, once: bool) -> None:
        self._left = number
        self._once = once

    def __call__(self, frame: bytes) -> None:
        if frame.startswith((b"PUT ", b"GET ")):
            self._left -= 1
        if self._left == 0 or (self._left < 0 and not self._once):
            raise Hangup


class MemoryPlace:
    """A place that tears the write after ``writes_left`` more, and takes none from then on."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.writes_left = 1 << 30
        self.reads = 0
        self._lock = threading.Lock()

    def names(self, prefix: str) -> dict[str, int]:
        return {name: len(data) for name, data in self.objects.items() if name.startswith(prefix)}

    def read(self, name: str) -> bytes:
        with self._lock:
            self.reads += 1
        if name not in self.objects:
            raise Missing(f"{name}: missing from memory")
        return self.objects[name]

    def write(self, name: str, data: bytes) -> None:
        with self._lock:
            self.writes_left -= 1
            if self.writes_left == -1:
                self.objects[name] = data[: len(data) // 2]
            if self.writes_left < 0:
                raise PlaceError(f"{name}: the place is gone")
            self.objects[name] = data
