"""Moments at which trouble hurts most: a message of some kind is just leaving, a client is being answered, a node has
just applied something, or what was acknowledged is not on all copies.

Faults choose a kind at random, wait for it, and strike then. The kinds are all there are (every message between
nodes, every sort of change in the replicated state), so that nothing is aimed at by name.
"""

from collections.abc import Callable
from typing import Final

from walrus.core.metadata.commands import STATE_NAMES
from walrus.sim import probe
from walrus.sim.host import Host
from walrus.sim.message_kinds import TAG_AT, TAG_END, TAGS
from walrus.sim.network import Network
from walrus.sim.streams import Streams

Strike = Callable[[int, int], None]
"""Told between which two nodes the moment is; the same twice where it is within one."""

_CHANGES: Final = ("voters", "replica set", *STATE_NAMES)


_REPLY: Final = "reply"
BEHIND: Final = "copy behind"
KINDS: Final = (*sorted(TAGS), *_CHANGES, *_CHANGES, *[_REPLY] * 6, *[BEHIND] * 12)
"""Names of moments; those of a rarer sort stand several times."""
DECISIONS: Final = ("Fence", "FenceReply", "SEALING", "SEALED", "RequestVote", "reply")
"""Moments at which others decide without a node that is away."""


class Moments:
    """At most a few are waited for at a time; while none is, this costs nothing."""

    def __init__(self, network: Network, streams: Streams) -> None:
        self._network = network
        self._streams = streams
        self._replies: dict[int, Strike] = {}
        self._messages: dict[int, tuple[bytes, Strike]] = {}
        self._changes: dict[int, tuple[str, Strike]] = {}
        self._behind: dict[int, Strike] = {}
        self._seen: dict[int, tuple[int, int, dict[str, object]]] = {}  # node -> life, applied index, what it shows
        self._last = 0

    def wait_for(self, kind: str, strike: Strike) -> int:
        """Call ``strike`` once, the next time; returns a number to :meth:`forget` it with."""
        self._last += 1
        if kind == _REPLY:
            self._replies[self._last] = strike
            self._streams.tap = self._reply
        elif kind in TAGS:
            self._messages[self._last] = (TAGS[kind], strike)
            self._network.tap = self._message
        elif kind == BEHIND:
            self._behind[self._last] = strike
        else:
            self._changes[self._last] = (kind, strike)
        return self._last

    def forget(self, number: int) -> bool:
        """Wait no more; False if it has struck already."""
        found = None
        for waiting in (self._messages, self._changes, self._replies, self._behind):
            found = found or waiting.pop(number, None)
        if not self._replies:
            self._streams.tap = None
        if not self._messages:
            self._network.tap = None
        if not self._changes:
            self._seen.clear()
        return found is not None

    def after_turn(self, host: Host) -> None:
        """A node finished a turn."""
        if self._behind and (laggard := probe.copy_behind(host)):
            for number, strike in list(self._behind.items()):
                self.forget(number)
                strike(host.node_id, laggard)
        if not self._changes:
            return
        raft, state = probe.raft(host), probe.metadata(host)
        if raft is None or state is None:
            return
        before = self._seen.get(host.node_id)
        if before is not None and before[:2] == (host.life, raft.applied_index):
            return
        now: dict[str, object] = {"voters": raft.membership.voters}
        now["replica set"] = [(name, segment.number, segment.version) for name, segment in state.unsealed.items()]
        for value, name in enumerate(STATE_NAMES):
            now[name] = [
                (topic.name, segment.number, segment.epoch)
                for topic in state.topics.values()
                for segment in topic.segments[-2:]
                if segment.state == value
            ]
        self._seen[host.node_id] = (host.life, raft.applied_index, now)
        if before is None or before[0] != host.life:
            return
        for number, (kind, strike) in list(self._changes.items()):
            if now[kind] != before[2][kind]:
                self.forget(number)
                strike(host.node_id, host.node_id)

    def _message(self, sender: int, to: int, data: bytes) -> None:
        tag = data[TAG_AT:TAG_END]
        for number, (wanted, strike) in list(self._messages.items()):
            if tag == wanted:
                self.forget(number)
                strike(sender, to)

    def _reply(self, node: int) -> None:
        for number, strike in list(self._replies.items()):
            self.forget(number)
            strike(node, node)
