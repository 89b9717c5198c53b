"""GETs that one node forwards to the owner of the cursor on another: every record is handed to one asker at a time, and
called delivered only if a client can have got it (design 4.11 and 7: at least once).

- What the owner handed to one GET it hands to another only once it was told that the first could not be delivered, or
  has waited for that for twice as long as a request may take.
- "Delivered" is said of a record only by a node that a client asked, and only if that client's connection was still
  there when the record came; of one GET it is said of one record.
- What is said of one answer is said again when it comes twice to the same process.
"""

from collections import deque
from typing import TYPE_CHECKING

from walrus.core.segment.messages import DONE, ForwardGet, GetDelivered, GetDone
from walrus.sim import client_probe, probe
from walrus.sim.checkers.opened import opened
from walrus.sim.world import Violation

if TYPE_CHECKING:
    from walrus.sim.cluster import Cluster

Asker = tuple[int, int, int]
"""Node, storage id and number of a GET that the node forwarded."""

Record = tuple[int, int, str, int, int]
"""Node and life of the owner, topic, segment that it wrote then, absolute offset."""


class _Handed:
    """Who has a record, since when by the owner's clock."""

    __slots__ = ("asker", "since_ns")

    def __init__(self, asker: Asker, since_ns: int) -> None:
        self.asker = asker
        self.since_ns = since_ns


class ForwardedGets:
    """Looks at messages only."""

    def __init__(self, cluster: "Cluster") -> None:
        self._cluster = cluster
        self._connections: dict[Asker, int] = {}  # which client asked
        self._handed: dict[Record, _Handed] = {}
        self._came: dict[tuple[int, int], deque[tuple[Asker, int, GetDone]]] = {}  # node, life -> answers to tell of
        self._told: dict[tuple[Asker, int], dict[tuple[int, str, int, int], bool]] = {}
        """who asked, and the life that tells -> owner and record -> whether delivered"""
        network = cluster.network
        network.when_sent("ForwardGet", self._asks)
        network.when_sent("GetDone", self._hands_out)
        network.when_received("GetDone", self._comes)
        network.when_sent("GetDelivered", self._tells)
        network.when_received("GetDelivered", self._told_of)

    def _asks(self, sender: int, to: int, data: bytes) -> None:
        decoded = opened(data)
        if isinstance(message := decoded[1], ForwardGet):
            asker = (sender, decoded[0].sender_storage, message.rid)
            self._connections.setdefault(asker, client_probe.asker(self._cluster.host(sender), message.rid))

    def _hands_out(self, sender: int, to: int, data: bytes) -> None:
        decoded = opened(data)
        if not isinstance(message := decoded[1], GetDone) or message.status != DONE:
            return
        cluster = self._cluster
        owner = cluster.host(sender)
        asker = (to, probe.storage(self._cluster.host(to)), message.rid)
        record = (sender, owner.life, message.topic, message.segment, message.offset)
        held = self._handed.get(record)
        patience_ns = 2 * owner.config.rpc_timeout_ns
        # By number and request: a node that is just starting has no disk to be known by.
        other = held is not None and held.asker[::2] != asker[::2]
        timely = held is not None and owner.now_ns() - held.since_ns < patience_ns and cluster.clocks_within_margin
        if held is not None and other and timely:
            raise Violation(
                f"forwarded GETs: node {sender} hands {message.topic} offset {message.offset} to node {to} (request "
                f"{message.rid:x}), and does not know yet what became of it at node {held.asker[0]} (request "
                f"{held.asker[2]:x})"
            )
        if held is None or held.asker != asker:
            self._handed[record] = _Handed(asker, owner.now_ns())

    def _told_of(self, sender: int, to: int, data: bytes) -> None:
        decoded = opened(data)
        if isinstance(message := decoded[1], GetDelivered) and not message.delivered:
            life = self._cluster.host(to).life
            self._handed.pop((to, life, message.topic, message.segment, message.offset), None)

    def _comes(self, sender: int, to: int, data: bytes) -> None:
        decoded = opened(data)
        if isinstance(message := decoded[1], GetDone) and message.status == DONE:
            came = self._came.setdefault((to, self._cluster.host(to).life), deque())
            came.append(((to, probe.storage(self._cluster.host(to)), message.rid), sender, message))

    def _tells(self, sender: int, to: int, data: bytes) -> None:
        decoded = opened(data)
        if not isinstance(message := decoded[1], GetDelivered):
            return
        host = self._cluster.host(sender)
        came = self._came.get((sender, host.life), deque())
        while came:  # what was dropped is never told of
            asker, owner, answer = came.popleft()
            if (owner, answer.topic, answer.segment, answer.offset) == (
                to, message.topic, message.segment, message.offset,
            ):  # fmt: skip
                break
        else:
            raise Violation(f"forwarded GETs: node {sender} tells node {to} of a record that it did not get: {message}")
        self._check(sender, asker, (to, message.topic, message.segment, message.offset), message.delivered)

    def _check(self, node: int, asker: Asker, record: tuple[int, str, int, int], delivered: bool) -> None:
        told = self._told.setdefault((asker, self._cluster.host(node).life), {})
        what = f"forwarded GETs: node {node} tells node {record[0]} that {record[1]} offset {record[3]} "
        if record in told:
            if told[record] != delivered:
                raise Violation(f"{what}was {'' if delivered else 'not '}delivered, and said the opposite before")
            return
        told[record] = delivered
        if not delivered:
            return
        connection = self._connections.get(asker, -1)
        if connection == -1:
            raise Violation(f"{what}was delivered, and no client asked it (request {asker[2]:x})")
        if sum(told.values()) > 1:
            raise Violation(f"{what}was delivered, as another record for the same GET was before")
        if not client_probe.is_connected(self._cluster.host(node), connection):
            raise Violation(f"{what}was delivered, and the client's connection {connection} is gone")
