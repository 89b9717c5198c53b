"""Client connections: byte streams that keep their order, may be cut into pieces anywhere, and break.

A stream breaks when the node at its end crashes, when a fault resets it, or when either side closes it.
What the client sent before closing still arrives; what was on its way when a stream was reset does not.
Where a client and a node are cut off from each other, everything between them waits. As :mod:`walrus.io` does, a node
reads no more from a client that does not read, once too many bytes of its replies wait.
"""

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from walrus.core.events import ClientConnected, ClientDataReceived, ClientDisconnected
from walrus.sim.rng import Rng
from walrus.sim.world import US, World

if TYPE_CHECKING:
    from walrus.sim.host import Host


class ClientEnd(Protocol):
    """What the client's side of a connection is told. ``number`` is the client's own."""

    number: int

    def on_open(self, connection: "Connection") -> None:
        """The node accepted."""

    def on_bytes(self, connection: "Connection", data: bytes) -> None:
        """Bytes came from the node."""

    def on_closed(self, connection: "Connection") -> None:
        """The connection was refused, reset or closed by the node. Nothing follows."""


class Connection:
    """One stream between a client and a host. Made by :meth:`Streams.open`."""

    __slots__ = (
        "_held",
        "_streams",
        "broken",
        "called_off",
        "client",
        "ended",
        "full",
        "host",
        "kept",
        "life",
        "number",
        "paused",
        "reads",
        "rng",
        "to_client_ns",
        "to_host_ns",
        "unread",
        "unread_bytes",
    )

    def __init__(self, streams: "Streams", number: int, host: "Host", client: ClientEnd, rng: Rng) -> None:
        self.number = number
        self.rng = rng  # its own, so that what one client does shifts nothing for another
        self.host = host
        self.client = client
        self.life = -1  # of the host's process that accepted; -1 before that
        self.broken = False  # nothing travels towards the client any more
        self.called_off = False  # it broke before the node accepted it
        self.ended = False  # the node closed, but the client has not read that far
        self.paused = False  # the node does not want to read
        self.full = False  # the driver does not read either, for the client does not
        self.reads = True
        self.unread: list[bytes] = []  # arrived at the client
        self.unread_bytes = 0  # replied and not read yet, wherever they are
        self.to_host_ns = 0  # when the last byte arrives in either direction
        self.to_client_ns = 0
        self.kept: list[tuple[Callable[[Any], None], Any]] = []  # what waits for the end of a cut
        self._held: list[bytes] = []
        self._streams = streams

    def write(self, data: bytes) -> None:
        """Bytes from the client."""
        if not self.broken:
            self._streams.towards_host(self, data)

    def close(self) -> None:
        """The client leaves; what it wrote before still arrives."""
        if not self.broken:
            self.broken = True
            self._streams.leave(self)

    def hold(self, data: bytes) -> None:
        """Bytes that arrived while the node does not read."""
        self._held.append(data)

    def resume(self) -> bytes:
        """The node reads again; what had to wait."""
        data = b"".join(self._held)
        self._held.clear()
        return data


class Streams:
    """All client connections of a run. ``delay_ns`` is (least, most) for one piece in one direction."""

    def __init__(self, world: World, rng: Rng) -> None:
        self.open_at: dict[int, dict[int, Connection]] = {}  # node -> connection number -> connection
        self.delay_ns = (30 * US, 300 * US)
        self.cut_per_million = 150_000  # writes that arrive in several pieces
        self.silent_per_million = 200_000  # connections of a crashed node whose client hears nothing
        self.unread_bytes_max = 4096  # beyond this the driver stops reading, until half of it is gone
        self.tap: Callable[[int], None] | None = None  # hears of each reply, from which node
        self.unanswered: Counter[int] = Counter()  # node -> requests that it left without a clear answer
        self.given_up = 0  # connections that a client left while something on them waited for the end of a cut
        self._world = world
        self._rng = rng
        self._opened = 0
        self._dialled: dict[int, int] = {}  # client -> connections so far
        self._cuts: dict[int, tuple[tuple[int, int], ...]] = {}  # number of the cut -> (client, node)
        self._cut: dict[tuple[int, int], int] = {}  # (client, node) -> how many cuts it is in
        self._waiting: dict[int, Connection] = {}  # with something kept

    def open(self, client: ClientEnd, host: "Host") -> Connection:
        """Dial ``host``; ``client`` is told how it went."""
        self._opened += 1
        dialled = self._dialled[client.number] = self._dialled.get(client.number, 0) + 1
        rng = self._rng.stream(f"client {client.number}, connection {dialled}")
        connection = Connection(self, self._opened, host, client, rng)
        connection.to_host_ns = self._world.now_ns + self._delay(connection)
        self._carry(connection, connection.to_host_ns, self._accept, connection)
        return connection

    def towards_host(self, connection: Connection, data: bytes) -> None:
        """Send the client's bytes, perhaps in pieces."""
        for piece in self._pieces(connection, data):
            connection.to_host_ns = max(connection.to_host_ns + 1, self._world.now_ns + self._delay(connection))
            self._carry(connection, connection.to_host_ns, self._arrive_at_host, (connection, piece))

    def towards_client(self, node: int, number: int, data: bytes, close: bool) -> None:
        """Send a node's reply, and with ``close`` end the connection after it."""
        connection = self.open_at[node].get(number)
        if connection is None:
            return
        if self.tap is not None and data:
            self.tap(node)
        connection.unread_bytes += len(data)
        if connection.unread_bytes > self.unread_bytes_max and not connection.full:
            connection.full = True
            if not connection.reads:
                self._world.labels["client read too slowly"] += 1
        for piece in self._pieces(connection, data):
            connection.to_client_ns = max(connection.to_client_ns + 1, self._world.now_ns + self._delay(connection))
            self._carry(connection, connection.to_client_ns, self._arrive_at_client, (connection, piece))
        if close:
            del self.open_at[node][number]
            self._carry(connection, connection.to_client_ns + 1, self._closed_at_client, connection)

    def set_paused(self, node: int, number: int, paused: bool) -> None:
        """Stop or go on reading from a connection."""
        connection = self.open_at[node].get(number)
        if connection is not None:
            connection.paused = paused
            self._resume(connection)

    def stop_reading(self, connection: Connection) -> None:
        """The client reads no more from its socket."""
        connection.reads = False

    def read_on(self, connection: Connection) -> None:
        """The client reads what waited, and what comes."""
        connection.reads = True
        data, connection.unread = b"".join(connection.unread), []
        if data:
            self._read_by_client(connection, data)
        if connection.ended:
            self._closed_at_client(connection)

    def leave(self, connection: Connection) -> None:
        """The client closed; the node hears of it after the last byte."""
        connection.unread.clear()
        self.given_up += connection.number in self._waiting
        connection.to_host_ns = max(connection.to_host_ns + 1, self._world.now_ns + self._delay(connection))
        self._carry(connection, connection.to_host_ns, self._closed_at_host, connection)

    def reset(self, connection: Connection) -> None:
        """Break a connection in the middle; both ends hear of it."""
        if connection.broken:
            return
        connection.broken = True
        connection.reads = True
        life = connection.life
        connection.called_off = life == -1
        connection.life = -1  # what is on its way to the host is lost
        self._world.after(self._delay(connection), self._reset_at_host, (connection, life))
        self._world.after(self._delay(connection), self._closed_at_client, connection)

    def host_crashed(self, node: int) -> None:
        """All connections of a node are gone; most clients hear of it."""
        connections = self.open_at[node]
        for connection in connections.values():
            if not connection.rng.chance(self.silent_per_million):
                at_ns = self._world.now_ns + self._delay(connection)
                self._carry(connection, at_ns, self._closed_at_client, connection)
        connections.clear()

    def cut(self, number: int, pairs: tuple[tuple[int, int], ...]) -> None:
        """Keep whatever these clients and nodes send each other until :meth:`mend`."""
        self.mend(number)
        self._cuts[number] = pairs
        for pair in pairs:
            self._cut[pair] = self._cut.get(pair, 0) + 1

    def mend(self, number: int) -> None:
        """End a cut; what waited arrives, in its order."""
        for pair in self._cuts.pop(number, ()):
            self._cut[pair] -= 1
            if not self._cut[pair]:
                del self._cut[pair]
        for connection in list(self._waiting.values()):
            if (connection.client.number, connection.host.node_id) not in self._cut:
                del self._waiting[connection.number]
                self._let_go(connection)

    def heal(self) -> None:
        """End every cut."""
        for number in list(self._cuts):
            self.mend(number)

    def _let_go(self, connection: Connection) -> None:
        kept, connection.kept = connection.kept, []
        at_ns = max(connection.to_host_ns, connection.to_client_ns, self._world.now_ns + self._delay(connection))
        for callback, item in kept:
            at_ns += 1
            self._world.at(at_ns, callback, item)
        connection.to_host_ns = connection.to_client_ns = at_ns

    def _carry(self, connection: Connection, at_ns: int, callback: Callable[[Any], None], item: object) -> None:
        """Let something happen at the other end at ``at_ns``, or once the two are no longer cut off."""
        if self._cut and (connection.client.number, connection.host.node_id) in self._cut:
            connection.kept.append((callback, item))
            self._waiting[connection.number] = connection
        else:
            self._world.at(at_ns, callback, item)

    def _delay(self, connection: Connection) -> int:
        least, most = self.delay_ns
        return connection.rng.randrange(least, most + 1)

    def _pieces(self, connection: Connection, data: bytes) -> list[bytes]:
        if len(data) < 2 or not connection.rng.chance(self.cut_per_million):
            return [data] if data else []
        border = connection.rng.randrange(1, len(data))
        return [data[:border], data[border:]]

    def _resume(self, connection: Connection) -> None:
        """Hand over what had to wait, if nothing holds it up any more."""
        if connection.paused or connection.full or connection.number not in self.open_at[connection.host.node_id]:
            return
        if data := connection.resume():
            connection.host.deliver(ClientDataReceived(connection.number, data, connection.host.clock.wall_ns()))

    def _accept(self, connection: Connection) -> None:
        if connection.called_off:
            return
        host = connection.host
        if not host.up:
            at_ns = self._world.now_ns + self._delay(connection)
            self._carry(connection, at_ns, self._closed_at_client, connection)
            return
        connection.life = host.life
        self.open_at[host.node_id][connection.number] = connection
        host.deliver(ClientConnected(connection.number))
        connection.to_client_ns = self._world.now_ns + self._delay(connection)
        self._carry(connection, connection.to_client_ns, self._opened_at_client, connection)

    def _arrive_at_host(self, item: tuple[Connection, bytes]) -> None:
        connection, data = item
        host = connection.host
        if not host.up or host.life != connection.life:
            return
        if connection.number not in self.open_at[host.node_id]:
            return
        if connection.paused or connection.full:
            connection.hold(data)
        else:
            host.deliver(ClientDataReceived(connection.number, data, host.clock.wall_ns()))

    def _arrive_at_client(self, item: tuple[Connection, bytes]) -> None:
        connection, data = item
        if connection.broken:
            return
        if connection.reads:
            self._read_by_client(connection, data)
        else:
            connection.unread.append(data)

    def _read_by_client(self, connection: Connection, data: bytes) -> None:
        connection.unread_bytes -= len(data)
        if connection.full and connection.unread_bytes <= self.unread_bytes_max // 2:
            connection.full = False
            self._resume(connection)
        connection.client.on_bytes(connection, data)

    def _opened_at_client(self, connection: Connection) -> None:
        if not connection.broken:
            connection.client.on_open(connection)

    def _closed_at_client(self, connection: Connection) -> None:
        if connection.reads:
            connection.broken = True
            connection.client.on_closed(connection)
        else:
            connection.ended = True

    def _closed_at_host(self, connection: Connection) -> None:
        self._reset_at_host((connection, connection.life))

    def _reset_at_host(self, item: tuple[Connection, int]) -> None:
        connection, life = item
        host = connection.host
        if self.open_at[host.node_id].pop(connection.number, None) is not None and host.up:
            assert host.life == life, "connections of an earlier life are dropped by the crash"
            host.deliver(ClientDisconnected(connection.number))
