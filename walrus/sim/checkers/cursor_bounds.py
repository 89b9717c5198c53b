"""Cursors stay within their bounds (design 4.11): within a generation a committed cursor only moves forward, and it
never passes a record that is on its way to a client or is to be handed out again; and no record is handed out that is
not acknowledged. Where a loss of power has cut a segment off, it goes back to that segment's end.
"""

from walrus.core.metadata.state import Topic
from walrus.sim import probe
from walrus.sim.host import Host
from walrus.sim.world import Violation


class CursorBounds:
    """Watches the committed cursor in every node's state, and the cursors that writers keep."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, int, str, int], tuple[int, int]] = {}
        """node, life, topic, number of its first segment ever -> generation, offset"""
        self._handed_out: dict[tuple[int, str], int] = {}  # node, topic -> offset

    def topic(self, host: Host, topic: Topic) -> None:
        """A node's state changed, and says this of a topic."""
        key = (host.node_id, host.life, topic.name, topic.born)
        now = (topic.cursor_generation, topic.cursor)
        before = self._seen.get(key, (0, 0))
        if now == before:
            return
        self._seen[key] = now
        if now < before and not any(s.power_cut and s.base + s.count == topic.cursor for s in topic.segments):
            raise Violation(
                f"cursor bounds: on node {host.node_id} the cursor of {topic.name} "
                f"went back from {before[1]} to {now[1]}"
            )
        owned = probe.cursors(host).get(topic.name)
        if owned is None or owned.generation != topic.cursor_generation:
            return
        to_deliver = min([owned.next, *owned.again[:1], *owned.outstanding.keys()[:1]])
        if topic.cursor > to_deliver:
            raise Violation(
                f"cursor bounds: the cursor of {topic.name} is committed at {topic.cursor}, and node {host.node_id} "
                f"has offset {to_deliver} still to be delivered"
            )

    def after_turn(self, host: Host) -> None:
        """The cursors that a node keeps, where something was handed out."""
        for name, owned in probe.cursors(host).items():
            if self._handed_out.get((host.node_id, name)) == owned.next:
                continue
            self._handed_out[host.node_id, name] = owned.next
            end = probe.acknowledged(host, name, owned.segment)
            if owned.next > end:
                raise Violation(
                    f"cursor bounds: node {host.node_id} handed out {name} up to offset {owned.next}, of which only "
                    f"{end} are acknowledged"
                )

    def on_crash(self, host: Host) -> None:
        """Nothing: memory goes."""
