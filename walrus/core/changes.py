"""What a change of the replicated state means for the parts of a node."""

from typing import TYPE_CHECKING

from walrus.core.metadata.commands import SEALED
from walrus.core.metadata.state import Change

if TYPE_CHECKING:
    from walrus.core.running import Running


def spread(node: "Running", changes: list[Change], now_ns: int) -> None:
    """Tell all of them, in order; the writers first, so that nothing overtakes what they held."""
    for change in changes:
        if change.below:
            node.removal.apply(change, now_ns)
        elif change.segment:
            node.writers.changed(change.topic, node.metadata.existing(change.topic, change.segment))
    for change in changes:
        if change.node:
            node.group.address_changed(node.metadata.nodes[change.node])
            node.upkeep.look_soon()
            continue
        if change.below:
            continue
        key, segment = (change.topic, change.segment), node.metadata.existing(change.topic, change.segment)
        node.recoveries.changed(change.topic, segment, now_ns)
        node.upkeep.changed(change.topic, segment)
        node.puts.changed(change.topic, segment)
        if segment.state == SEALED:
            node.repairs.sealed(key, segment)
        replica = node.store.replicas.get(key)
        if replica is not None:
            node.store.reconcile(replica, segment)
    for change in changes:
        if change.segment and change.segment == node.metadata.topics[change.topic].first.number:
            node.service.topic_known(change.topic, now_ns)
    if changes:
        node.gets.changed(now_ns)
