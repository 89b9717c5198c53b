"""Collects what the parts of a node want done; the node hands it to the driver at the end of each event."""

from collections import deque

from walrus.core.actions import Action, Log, Send
from walrus.core.codec import encode_body, packed_envelope
from walrus.core.peer import Member, Message


class Outbox:
    """Actions in order, and messages that a node sends to itself (``local``), which never leave it."""

    def __init__(self, node_id: int) -> None:
        self.node_id = node_id
        self.storage_id = 0
        self.cluster = 0
        self.storage_of: dict[int, int] = {}  # peers' storage ids, from the Raft configuration
        self.actions: list[Action] = []
        self.local: deque[Message] = deque()
        self._last_rid = 0

    def begin_lifetime(self, storage_id: int, incarnation: int) -> None:
        """From here on messages name this disk, and request numbers never meet those of an earlier lifetime."""
        self.storage_id = storage_id
        self._last_rid = incarnation << 40

    def rid(self) -> int:
        """A request number, unique and rising for this node id and disk."""
        self._last_rid += 1
        return self._last_rid

    def add(self, action: Action) -> None:
        self.actions.append(action)

    def log(self, level: str, text: str) -> None:
        self.actions.append(Log(level, f"Node {self.node_id}: {text}"))

    def encode(self, to: int, message: Message) -> bytes:
        storage = self.storage_of.get(to, 0)
        return packed_envelope(self.cluster, self.node_id, self.storage_id, to, storage) + encode_body(message)

    def encode_outside(self, message: Message) -> bytes:
        """For a node of whatever cluster, or none."""
        return packed_envelope(0, self.node_id, self.storage_id, 0, 0) + encode_body(message)

    def send_to_member(self, member: Member, message: Message) -> None:
        """Send to a node with this disk, whatever the configuration says of it; its connection is the newest one."""
        envelope = packed_envelope(self.cluster, self.node_id, self.storage_id, *member)
        self.actions.append(Send(member[0], envelope + encode_body(message)))

    def send(self, to: int, message: Message, *, after: int = 0, urgent: bool = False) -> None:
        if to == self.node_id:
            assert not after
            self.local.append(message)
        else:
            self.actions.append(Send(to, self.encode(to, message), after, urgent))

    def drain(self) -> list[Action]:
        actions, self.actions = self.actions, []
        return actions
