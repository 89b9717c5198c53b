"""A client's request while it is under way inside the cluster."""

from walrus.core.clients import Slot


class Pending:
    """One request. ``slot``: its client is connected here; otherwise ``node`` forwarded it as ``rid``."""

    __slots__ = ("deadline_ns", "full_node", "node", "order", "payload", "rid", "slot", "topic")

    def __init__(
        self,
        topic: str,
        payload: bytes,
        deadline_ns: int,
        *,
        slot: Slot | None = None,
        node: int = 0,
        rid: int = 0,
    ) -> None:
        self.topic = topic
        self.payload = payload
        self.deadline_ns = deadline_ns
        self.slot = slot
        self.node = node
        self.rid = rid
        self.full_node = 0  # the one whose disk is full, which is why this PUT is not taken
        self.order = 0  # PUT: place among those that this node took; GET: ticket of the fetcher at the cursor's owner
