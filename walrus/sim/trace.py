"""What a run leaves behind: a hash over every event and action, a story for people, and optionally all of it
as text.

The hash covers, in order, the simulated time, the node, each event handed to it and each action it answered
with. Records are encoded many at a time, which costs about a microsecond each.
"""

import hashlib
from collections import Counter, deque
from typing import TextIO

import msgspec

from walrus.core.actions import Action
from walrus.core.events import Event

_BATCH = 256
_STORY_LINES = 4000


class Trace:
    """Collects the hash, the story and the counters of one run.

    ``text`` (optional) receives every event and action as a line of text; it slows a run down several times.
    """

    def __init__(self, text: TextIO | None = None) -> None:
        self.text = text
        self.story: deque[tuple[int, str]] = deque(maxlen=_STORY_LINES)
        self.labels: Counter[str] = Counter()
        self.story_dropped = 0
        self._hash = hashlib.blake2b(digest_size=16)
        self._encode = msgspec.msgpack.Encoder().encode
        self._batch: list[object] = []

    def record(self, now_ns: int, node: int, event: Event, actions: list[Action]) -> None:
        """One call of a node's ``handle``."""
        self._batch.append((now_ns, node, event, actions))
        if len(self._batch) >= _BATCH:
            self._flush()
        if self.text is not None:
            self.text.write(f"{now_ns} n{node} <- {event!r}\n")
            for action in actions:
                self.text.write(f"{now_ns} n{node} -> {action!r}\n")

    def note(self, now_ns: int, text: str) -> None:
        """Something a reader of the story wants to know; it is part of the hash."""
        if len(self.story) == _STORY_LINES:
            self.story_dropped += 1
        self.story.append((now_ns, text))
        self._batch.append((now_ns, text))
        if self.text is not None:
            self.text.write(f"{now_ns} -- {text}\n")

    def hexdigest(self) -> str:
        """The hash over everything recorded so far."""
        self._flush()
        return self._hash.hexdigest()

    def _flush(self) -> None:
        self._hash.update(self._encode(self._batch))
        self._batch.clear()
