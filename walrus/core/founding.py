"""Whether an empty node 1 founds a cluster, and what if it did while there was one that it could not hear of.

1. ASKS    it asks all its initial peers to let it in, as who joins does. Where one belongs to a cluster, it joins.
           If each says that it knows of none, it founds one; if some stay silent, after ``found_after_ns``.
2. ALONE   while it is the only member of what it founded it asks its peers what they belong to. If that is a cluster
           which knows node 1, there are two: this one stops, and says what to do, by whether it acknowledged anything.

Without initial peers there is nobody to ask, and it founds a cluster at once.
"""

from typing import Final

from walrus.core.actions import SendToAddress
from walrus.core.config import SECOND, NodeConfig
from walrus.core.metadata.state import Metadata
from walrus.core.outbox import Outbox
from walrus.core.peer import JoinReply, JoinRequest
from walrus.core.raft.raft import Raft
from walrus.core.segment.store import ReplicaStore

FOUNDER: Final = 1  # the number of the node that founds a cluster, where it is given nothing to join
ASK_NS: Final = 1 * SECOND


class Founding:
    """``asks``: this node is empty, and may yet found a cluster. ``beside``: another cluster, which knows node 1."""

    def __init__(
        self, out: Outbox, config: NodeConfig, raft: Raft, metadata: Metadata, store: ReplicaStore, now_ns: int
    ) -> None:
        self._out = out
        self._config = config
        self._raft = raft
        self._metadata = metadata
        self._store = store
        self._peers = tuple(peer for peer in dict.fromkeys(config.initial_peers) if peer != config.advertise_address)
        self._is_founder = config.node_id == FOUNDER and not config.join
        self._began_ns = now_ns
        self._next_ns = now_ns
        self._know_none: dict[int, None] = {}  # nodes that said so
        self.asks = False
        self.beside = 0
        self._found_by = 0  # the node that said so

    def begin(self) -> bool:
        """An empty node begins; True where it is to found a cluster at once."""
        self.asks = self._is_founder and bool(self._peers)
        return self._is_founder and not self._peers

    @property
    def may_found(self) -> bool:
        """This node needs no cluster to join."""
        return self._is_founder

    def due(self, now_ns: int) -> bool:
        """Whether an empty node has asked enough: it founds a cluster now."""
        if not self.asks:
            return False
        if self._out.cluster:
            self.asks = False
            return False
        answered = len(self._know_none) >= len(self._peers)
        if not answered and now_ns - self._began_ns < self._config.found_after_ns:
            return False
        self.asks = False
        if not answered:
            self._out.log(
                "warn",
                f"Founding a cluster: of {', '.join(self._peers)} only {len(self._know_none)} have said in "
                f"{self._config.found_after_ns / SECOND:g} s that they know of none",
            )
        return True

    def answered(self, sender: int, message: JoinReply) -> None:
        """A peer has said what it belongs to."""
        if message.lists and message.cluster not in (0, self._out.cluster) and self._is_alone:
            self.beside, self._found_by = message.cluster, sender
        elif self.asks and message.cluster:
            self.asks = False  # there is one, whatever it says of letting this node in
        elif self.asks:
            self._know_none[sender] = None

    @property
    def _is_alone(self) -> bool:
        """In a cluster that nobody else has joined."""
        return bool(self._out.cluster) and [m.node for m in self._raft.membership.members] == [self._out.node_id]

    def tick(self, now_ns: int) -> None:
        """Ask the peers what they belong to, while nobody has joined."""
        if now_ns < self._next_ns or not self._is_founder or not self._peers or not self._is_alone:
            return
        self._next_ns = now_ns + ASK_NS
        question = JoinRequest(self._out.node_id, self._out.storage_id, self._config.advertise_address, only_asks=True)
        for peer in self._peers:
            self._out.add(SendToAddress(peer, self._out.encode_outside(question)))

    def _has_acknowledged(self) -> bool:
        """Whether any client may have been told that something is stored here."""
        topics = self._metadata.topics
        if len(topics) != 1 or self._metadata.deleted:  # the first one is there from the start
            return True
        (topic,) = topics.values()
        replica = self._store.replicas.get((topic.name, topic.last.number))
        holds = replica is not None and (replica.length > 0 or self._store.opener.has_file(replica))
        return bool(topic.settings_version or topic.last.base) or holds

    def must_stop(self) -> str:
        """Why this node must not go on, or ""."""
        if not self.beside:
            return ""
        node = self._out.node_id
        text = (
            f"node {node} founded cluster {self._out.cluster:016x} without hearing of {self.beside:016x}, which "
            f"knows it and to which node {self._found_by} belongs: "
        )
        if self._has_acknowledged():
            return text + (
                "there are two clusters, and clients have been acknowledged here; move this data directory away, start "
                f"node {node} with an empty one to join that cluster, and bring over what is missing there"
            )
        return f"{text}nothing was acknowledged here; remove this data directory and start again, to join that one"
