"""Nobody is told that a topic ends where it does not (design 4.6).

- A writer or copy that is asked for a record answers "the end" only if that record was not acknowledged when the
  question came; so a short copy of a SEALED segment never does, nor a writer while its successor may acknowledge.
- A FETCH is answered EMPTY only if the record at its offset was not acknowledged when it was sent.
- A GET is answered EMPTY only if all that was acknowledged when it was sent has been handed out, or removed.

Acknowledged is what a writer has counted as that, whether or not its clients have heard. Where clocks were further off
than leases allow for, the end may be an earlier one: that is all that leases prevent. A topic of which a loss of power
has cut off an end is not judged.
"""

from bisect import bisect_left
from typing import TYPE_CHECKING

from walrus.core.segment.messages import READ_CLIENT, READ_END, ReadBlocks, ReadBlocksReply
from walrus.core.segment.replica import Key
from walrus.sim import client_probe, probe
from walrus.sim.checkers.metadata_model import Lifetime, MetadataModel
from walrus.sim.checkers.opened import opened
from walrus.sim.history import EMPTY_REPLY, History, Operation
from walrus.sim.host import Host
from walrus.sim.world import Violation

if TYPE_CHECKING:
    from walrus.sim.cluster import Cluster


class _Ends:
    """How many records of a topic were acknowledged from when on, and how many have been handed out."""

    __slots__ = ("handed", "lengths", "times")

    def __init__(self) -> None:
        self.times: list[int] = []
        self.lengths: list[int] = []
        self.handed = 0

    def grown(self, now_ns: int, length: int) -> None:
        """Records were acknowledged, perhaps."""
        if not self.lengths or length > self.lengths[-1]:
            self.times.append(now_ns)
            self.lengths.append(length)

    def before(self, time_ns: int) -> int:
        """What was acknowledged before this instant."""
        place = bisect_left(self.times, time_ns)
        return self.lengths[place - 1] if place else 0


class Ends:
    """``model`` says what is committed."""

    def __init__(self, cluster: "Cluster", history: History, model: MetadataModel) -> None:
        self._cluster = cluster
        self._model = model
        self._ends: dict[Lifetime, _Ends] = {}
        self._acked: dict[tuple[int, int, Key], int] = {}  # node, life, segment -> acknowledged
        self._next: dict[tuple[int, str], tuple[int, int]] = {}  # node, topic -> segment and offset of its cursor
        self._asked: dict[tuple[int, int, int], tuple[Lifetime, int, Key]] = {}
        """asking node, its storage id, number of a read -> topic, absolute offset, segment"""
        self._known: dict[tuple[int, int, int], int] = {}  # the same -> acknowledged when it came
        network = cluster.network
        network.when_sent("ReadBlocks", self._asks)
        network.when_received("ReadBlocks", self._comes)
        network.when_sent("ReadBlocksReply", self._answers)
        history.listeners.append(self._told)

    # --- what is true ---

    def after_turn(self, host: Host) -> None:
        """What a node's writers have acknowledged, and its cursors have handed out."""
        node, life = host.node_id, host.life
        for key, writer in client_probe.segment_writers(host).items():
            if self._acked.get((node, life, key)) != writer.acked:
                self._acked[node, life, key] = writer.acked
                self._grown(host, key, writer.acked)
        for name, owned in probe.cursors(host).items():
            if self._next.get((node, name)) != (owned.segment, owned.next):
                self._next[node, name] = (owned.segment, owned.next)
                ends = self._of(host, name)
                if ends is not None:
                    ends.handed = max(ends.handed, owned.next)

    def _of(self, host: Host, name: str) -> _Ends | None:
        state = probe.metadata(host)
        topic = state.topics.get(name) if state is not None else None
        return self._ends.setdefault((name, topic.born), _Ends()) if topic is not None else None

    def _grown(self, host: Host, key: Key, acked: int) -> None:
        ends, state = self._of(host, key[0]), probe.metadata(host)
        segment = state.topics[key[0]].segment(key[1]) if ends is not None and state is not None else None
        if ends is not None and segment is not None:
            ends.grown(host.world_ns, segment.base + acked)

    def on_crash(self, host: Host) -> None:
        """Nothing: memory goes."""

    # --- what is said ---

    def _asks(self, sender: int, to: int, data: bytes) -> None:
        decoded = opened(data)
        if not isinstance(message := decoded[1], ReadBlocks) or message.mode != READ_CLIENT:
            return
        state = probe.metadata(self._cluster.host(sender))
        topic = state.topics.get(message.topic) if state is not None else None
        segment = topic.segment(message.segment) if topic is not None else None
        if topic is not None and segment is not None:
            self._asked[sender, decoded[0].sender_storage, message.rid] = (
                (topic.name, topic.born), segment.base + message.offset, (topic.name, segment.number),
            )  # fmt: skip

    def _comes(self, sender: int, to: int, data: bytes) -> None:
        decoded = opened(data)
        if isinstance(message := decoded[1], ReadBlocks):
            read = (sender, decoded[0].sender_storage, message.rid)
            asked = self._asked.get(read)
            if asked is not None and asked[0] in self._ends:
                self._known.setdefault(read, self._ends[asked[0]].before(1 << 62))

    def _answers(self, sender: int, to: int, data: bytes) -> None:
        decoded = opened(data)
        if not isinstance(message := decoded[1], ReadBlocksReply) or message.status != READ_END:
            return
        read = (to, probe.storage(self._cluster.host(to)), message.rid)
        lifetime, offset, key = self._asked.get(read, (("", 0), 0, ("", 0)))
        known = self._known.get(read, 0)
        judged = self._is_there(lifetime) and not self._was_cut(lifetime[0])
        if known > offset and self._cluster.clocks_within_margin and judged:
            raise Violation(
                f"ends: node {sender} tells node {to} that {key[0]} ends at offset {offset} ({key[0]}:{key[1]}), and "
                f"{known} records were acknowledged when it was asked"
            )

    def _is_there(self, lifetime: Lifetime) -> bool:
        topic = self._model.topics.get(lifetime[0])
        return topic is not None and topic.born == lifetime[1]

    def _was_cut(self, name: str) -> bool:
        """Whether a segment of the topic was sealed with what losses of power had left."""
        states = [probe.metadata(host) for host in self._cluster.hosts]
        topics = [state.topics[name] for state in states if state is not None and name in state.topics]
        return any(segment.power_cut for topic in topics for segment in topic.segments)

    def _told(self, op: Operation) -> None:
        """A client was answered."""
        if op.outcome != EMPTY_REPLY or not self._cluster.clocks_within_margin:
            return
        topic = self._model.topics.get(op.topic)
        ends = self._ends.get((op.topic, topic.born)) if topic is not None else None
        if topic is None or ends is None:
            return
        known = ends.before(op.sent_ns)
        if op.verb == "GET":
            if known > max(ends.handed, topic.segments[0].base) and not self._was_cut(op.topic):
                raise Violation(f"ends: {op}; {known} records were acknowledged, and {ends.handed} handed out")
            return
        segment = topic.find(op.segment)
        if segment is not None and known > segment.base + op.offset and not self._was_cut(op.topic):
            raise Violation(
                f"ends: {op}; {known} records were acknowledged when it was sent, and that is offset "
                f"{segment.base + op.offset} of the topic"
            )
