"""One whole node with a disk in memory and a clock that the test moves; its clients and peers are the test."""

import random
from collections import deque

from walrus.core import events as ev
from walrus.core.actions import Action, Delete, Log, Read, Rename, Reply, Send, SendToAddress, Stop, Truncate, Write
from walrus.core.codec import AnyMessage, decode_message, encode_message
from walrus.core.config import MS, NodeConfig
from walrus.core.node import Node
from walrus.core.peer import Envelope, Message
from walrus.core.wire import FrameParser, encode_frame

WALL_NS = 1_700_000_000 * 1_000_000_000
CONN = 1


def frames(data: bytes) -> list[bytes]:
    """The reply bodies in what a client received."""
    return [frame for frame in FrameParser(1 << 24).feed(data) if frame is not None]


class World:
    """``done`` holds every action in order; reads and changes of the disk complete one after the other.

    ``files`` is what is durable. ``crash`` forgets the process; what was not completed has not happened.
    """

    def __init__(self, node: int = 1, **settings: object) -> None:
        self.config = NodeConfig(node_id=node, advertise_address=f"node{node}:6001", **settings)  # type: ignore[arg-type]
        self.files: dict[str, bytes] = {}
        self.boot_id = "first boot"
        self.now_ns = 0
        self.life = 0
        self.stopped: Stop | None = None

    # --- the process ---

    def start(self) -> "World":
        """Begin a process lifetime and let it come to rest."""
        self.boot()
        return self.run()

    def boot(self) -> list[Action]:
        """Begin a process lifetime; returns what it asks for first."""
        self.life += 1
        self.stopped = None
        self.done: list[Action] = []
        self.disk: deque[Action] = deque()
        self.node = Node(self.config, random.Random(self.life), self.now_ns)
        sizes = {path: len(data) for path, data in sorted(self.files.items())}
        return self.handle(ev.Started(sizes, WALL_NS, self.boot_id))

    def handle(self, event: ev.Event) -> list[Action]:
        """Hand over one event; returns what the node wants, which ``run`` carries out."""
        actions = self.node.handle(event, self.now_ns)
        for action in actions:
            self.done.append(action)
            if isinstance(action, Read | Write | Truncate | Rename | Delete):
                self.disk.append(action)
            elif isinstance(action, Stop):
                self.stopped = action
        return actions

    def step(self) -> bool:
        """The oldest request to the disk completes; False if there is none."""
        if not self.disk:
            return False
        action = self.disk.popleft()
        if isinstance(action, Read):
            data = self.files[action.path][action.offset : action.offset + action.length]
            self.handle(ev.ReadCompleted(action.token, data))
            return True
        assert isinstance(action, Write | Truncate | Rename | Delete)
        if isinstance(action, Delete):
            self.files.pop(action.path, None)
        elif isinstance(action, Rename):
            self.files[action.to] = self.files.pop(action.path)
        elif isinstance(action, Truncate):
            self.files[action.path] = self.files[action.path][: action.size]
        else:
            old = self.files.get(action.path, b"")
            assert action.offset <= len(old), "a write leaves a hole"
            self.files[action.path] = old[: action.offset] + action.data + old[action.offset + len(action.data) :]
        self.handle(ev.WriteCompleted(action.token))
        return True

    def run(self) -> "World":
        """The turn ends, and the disk does all it is asked for."""
        self.handle(ev.PollFinished())
        while self.step():
            self.handle(ev.PollFinished())
        return self

    def sleep(self, duration_ns: int) -> "World":
        """Time passes; every deadline on the way is kept."""
        end = self.now_ns + duration_ns
        while self.stopped is None:
            deadline = self.node.next_deadline()
            if deadline is None or deadline.at_ns > end:
                break
            self.now_ns = max(self.now_ns, deadline.at_ns)
            self.handle(ev.TimerFired())
            self.run()
        self.now_ns = end
        return self

    def crash(self) -> "World":
        """The process is gone; a new one begins on what is durable."""
        return self.start()

    # --- clients ---

    def ask(self, *requests: bytes, wait_ns: int = 500 * MS) -> list[bytes]:
        """The replies to ``requests``, pipelined on a new connection."""
        before = len(self.done)
        conn = before + 1000 * self.life
        self.handle(ev.ClientConnected(conn))
        self.handle(ev.ClientDataReceived(conn, b"".join(map(encode_frame, requests)), WALL_NS))
        self.run()
        if len(self.replies(conn, before)) < len(requests):
            self.sleep(wait_ns)
        self.handle(ev.ClientDisconnected(conn))
        return self.replies(conn, before)

    def replies(self, conn: int, since: int = 0) -> list[bytes]:
        """Reply bodies sent on a connection."""
        parts = [action.data for action in self.done[since:] if isinstance(action, Reply) and action.conn == conn]
        return frames(b"".join(parts))

    # --- peers ---

    @property
    def storage(self) -> int:
        return self.node.running.me[1] if self.node.running else 0

    @property
    def cluster(self) -> int:
        return self.node.out.cluster

    def hear(self, message: Message, sender: int = 2, *, storage: int = 1002, cluster: int = -1) -> None:
        """A message arrives from ``sender``; the cluster is this node's own unless told."""
        envelope = Envelope(self.cluster if cluster < 0 else cluster, sender, storage, self.config.node_id, 0)
        self.handle(ev.MessageReceived(encode_message(envelope, message)))
        self.run()

    def sent(self) -> list[tuple[int | str, AnyMessage]]:
        """(to, message) of all that this process sent to peers."""
        found: list[tuple[int | str, AnyMessage]] = []
        for action in self.done:
            if isinstance(action, Send | SendToAddress):
                decoded = decode_message(action.data)
                assert decoded is not None
                found.append((action.to if isinstance(action, Send) else action.address, decoded[1]))
        return found

    def logged(self) -> list[tuple[str, str]]:
        """(level, text) of all log lines of this process."""
        return [(action.level, action.text) for action in self.done if isinstance(action, Log)]
