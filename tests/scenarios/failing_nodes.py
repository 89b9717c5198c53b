"""Nodes with something wrong in them, for what must find it or make it small."""

from walrus.core.actions import Action
from walrus.core.config import NodeConfig
from walrus.core.events import ClientDataReceived, Event
from walrus.core.node import Node
from walrus.core.rng import Generator


class Touchy(Node):
    """The shipped node, but its process fails at the third piece of client bytes with a PUT after a restart."""

    def __init__(self, config: NodeConfig, rng: Generator, now_ns: int) -> None:
        super().__init__(config, rng, now_ns)
        self._puts = 0

    def handle(self, event: Event, now_ns: int) -> list[Action]:
        """Take one event."""
        if isinstance(event, ClientDataReceived) and b"PUT" in event.data:
            self._puts += 1
            restarted = self.running is not None and self.running.me[2] > 1
            assert self._puts < 3 or not restarted, "the third PUT after a restart"
        return super().handle(event, now_ns)
