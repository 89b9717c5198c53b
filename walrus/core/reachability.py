"""Which nodes cannot be counted on. Nothing that must not be lost is sent to them.

That is a node whose connection broke, until it is heard again. And a node that has lost its lease may itself be cut
off, seconds before any connection breaks: it counts on nobody until they have answered it.
"""

from typing import Final

from walrus.core.config import MS
from walrus.core.outbox import Outbox
from walrus.core.peer import Ping

PING_NS: Final = 200 * MS


class Reachability:
    """``_lost`` and ``_doubted``: node -> when it was pinged last."""

    def __init__(self, out: Outbox) -> None:
        self._out = out
        self._lost: dict[int, int] = {}
        self._doubted: dict[int, int] = {}

    def lost(self, node: int) -> bool:
        """The connection to the node is broken."""
        return node in self._lost

    def uncertain(self, node: int) -> bool:
        """What is sent to the node may well never arrive, or its answer may not."""
        return node in self._lost or node in self._doubted

    def disconnected(self, node: int, now_ns: int) -> None:
        self._lost[node] = now_ns

    def doubt(self, nodes: list[int], now_ns: int) -> None:
        """This node's lease is gone: whether others can be reached, both ways, is to be asked first."""
        self._doubted.update(dict.fromkeys(nodes, now_ns - PING_NS))

    def heard(self, node: int) -> None:
        if self._lost:
            self._lost.pop(node, None)

    def tick(self, now_ns: int) -> None:
        """Two followers have nothing to say to each other, so a node in doubt is asked whether it is there."""
        for asked in (self._lost, self._doubted):
            for node, pinged_ns in asked.items():
                if now_ns - pinged_ns >= PING_NS:
                    asked[node] = now_ns
                    self._out.send(node, Ping(answer=False))

    def pinged(self, sender: int, message: Ping) -> None:
        if message.answer:
            self._doubted.pop(sender, None)
        else:
            self._out.send(sender, Ping(answer=True))
