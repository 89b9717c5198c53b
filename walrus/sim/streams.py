"""Client connections: byte streams that keep their order, may be cut into pieces anywhere, and break.

A stream breaks when the node at its end crashes, when a fault resets it, or when either side closes it.
What the client sent before closing still arrives; what was on its way when a stream was reset does not.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from walrus.core.events import ClientConnected, ClientDataReceived, ClientDisconnected
from walrus.sim.rng import Rng
from walrus.sim.world import US, WALL_START_NS, World

if TYPE_CHECKING:
    from walrus.sim.host import Host


class ClientEnd(Protocol):
    """What the client's side of a connection is told."""

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
        "client",
        "host",
        "life",
        "number",
        "paused",
        "to_client_ns",
        "to_host_ns",
    )

    def __init__(self, streams: "Streams", number: int, host: "Host", client: ClientEnd) -> None:
        self.number = number
        self.host = host
        self.client = client
        self.life = -1  # of the host's process that accepted; -1 before that
        self.broken = False  # nothing travels towards the client any more
        self.paused = False
        self.to_host_ns = 0  # when the last byte arrives in either direction
        self.to_client_ns = 0
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
        self.paused = False
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
        self.tap: Callable[[int], None] | None = None  # hears of each reply, from which node
        self._world = world
        self._rng = rng
        self._opened = 0

    def open(self, client: ClientEnd, host: "Host") -> Connection:
        """Dial ``host``; ``client`` is told how it went."""
        self._opened += 1
        connection = Connection(self, self._opened, host, client)
        connection.to_host_ns = self._world.now_ns + self._delay()
        self._world.at(connection.to_host_ns, self._accept, connection)
        return connection

    def towards_host(self, connection: Connection, data: bytes) -> None:
        """Send the client's bytes, perhaps in pieces."""
        for piece in self._pieces(data):
            connection.to_host_ns = max(connection.to_host_ns + 1, self._world.now_ns + self._delay())
            self._world.at(connection.to_host_ns, self._arrive_at_host, (connection, piece))

    def towards_client(self, node: int, number: int, data: bytes, close: bool) -> None:
        """Send a node's reply, and with ``close`` end the connection after it."""
        connection = self.open_at[node].get(number)
        if connection is None:
            return
        if self.tap is not None and data:
            self.tap(node)
        for piece in self._pieces(data):
            connection.to_client_ns = max(connection.to_client_ns + 1, self._world.now_ns + self._delay())
            self._world.at(connection.to_client_ns, self._arrive_at_client, (connection, piece))
        if close:
            del self.open_at[node][number]
            self._world.at(connection.to_client_ns + 1, self._closed_at_client, connection)

    def set_paused(self, node: int, number: int, paused: bool) -> None:
        """Stop or go on reading from a connection."""
        connection = self.open_at[node].get(number)
        if connection is None:
            return
        if paused:
            connection.paused = True
        elif data := connection.resume():
            connection.host.deliver(ClientDataReceived(number, data, self.wall_ns()))

    def leave(self, connection: Connection) -> None:
        """The client closed; the node hears of it after the last byte."""
        connection.to_host_ns = max(connection.to_host_ns + 1, self._world.now_ns + self._delay())
        self._world.at(connection.to_host_ns, self._closed_at_host, connection)

    def reset(self, connection: Connection) -> None:
        """Break a connection in the middle; both ends hear of it."""
        if connection.broken:
            return
        connection.broken = True
        life = connection.life
        connection.life = -1  # what is on its way to the host is lost
        self._world.after(self._delay(), self._reset_at_host, (connection, life))
        self._world.after(self._delay(), self._closed_at_client, connection)

    def host_crashed(self, node: int) -> None:
        """All connections of a node are gone; most clients hear of it."""
        connections = self.open_at[node]
        for connection in connections.values():
            if not self._rng.chance(self.silent_per_million):
                self._world.after(self._delay(), self._closed_at_client, connection)
        connections.clear()

    def wall_ns(self) -> int:
        """Calendar time."""
        return WALL_START_NS + self._world.now_ns

    def _delay(self) -> int:
        least, most = self.delay_ns
        return self._rng.randrange(least, most + 1)

    def _pieces(self, data: bytes) -> list[bytes]:
        if len(data) < 2 or not self._rng.chance(self.cut_per_million):
            return [data] if data else []
        border = self._rng.randrange(1, len(data))
        return [data[:border], data[border:]]

    def _accept(self, connection: Connection) -> None:
        host = connection.host
        if not host.up:
            self._world.after(self._delay(), self._closed_at_client, connection)
            return
        connection.life = host.life
        self.open_at[host.node_id][connection.number] = connection
        host.deliver(ClientConnected(connection.number))
        connection.to_client_ns = self._world.now_ns + self._delay()
        self._world.at(connection.to_client_ns, self._opened_at_client, connection)

    def _arrive_at_host(self, item: tuple[Connection, bytes]) -> None:
        connection, data = item
        host = connection.host
        if not host.up or host.life != connection.life:
            return
        if connection.number not in self.open_at[host.node_id]:
            return
        if connection.paused:
            connection.hold(data)
        else:
            host.deliver(ClientDataReceived(connection.number, data, self.wall_ns()))

    def _arrive_at_client(self, item: tuple[Connection, bytes]) -> None:
        connection, data = item
        if not connection.broken:
            connection.client.on_bytes(connection, data)

    def _opened_at_client(self, connection: Connection) -> None:
        if not connection.broken:
            connection.client.on_open(connection)

    def _closed_at_client(self, connection: Connection) -> None:
        connection.broken = True
        connection.client.on_closed(connection)

    def _closed_at_host(self, connection: Connection) -> None:
        self._reset_at_host((connection, connection.life))

    def _reset_at_host(self, item: tuple[Connection, int]) -> None:
        connection, life = item
        host = connection.host
        if self.open_at[host.node_id].pop(connection.number, None) is not None and host.up:
            assert host.life == life, "connections of an earlier life are dropped by the crash"
            host.deliver(ClientDisconnected(connection.number))
