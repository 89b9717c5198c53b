"""Clients: they dial, ask and hang up, and their connections break."""

from typing import TYPE_CHECKING, ClassVar

import msgspec

from walrus.sim.deeds.deed import Deed

if TYPE_CHECKING:
    from walrus.sim.cluster import Cluster


class Request(msgspec.Struct, frozen=True, array_like=True):
    """One request. ``payload`` (of a PUT; of CREATE and SET the settings) has one character per byte; ``segment`` and
    ``offset`` are for a FETCH.
    """

    verb: str
    topic: str = ""
    payload: str = ""
    offset: int = 0
    segment: int = 1

    def __str__(self) -> str:
        shown = self.payload if len(self.payload) <= 24 else f"{self.payload[:16]}... ({len(self.payload)} bytes)"
        what = {
            "PUT": f" {shown!r}",
            "CREATE": f" {shown}",
            "SET": f" {shown}",
            "FETCH": f" {self.segment} {self.offset}",
        }.get(self.verb, "")
        return f"{self.verb} {self.topic}{what}".rstrip()


class _OfClient(Deed, frozen=True):
    client: int
    kind: ClassVar[str] = "client"


class Dial(_OfClient, frozen=True, tag="dial"):
    """Leave the connection there is, and connect to a node."""

    node: int

    def apply(self, cluster: "Cluster") -> None:
        """Dial."""
        cluster.clients[self.client].dial(cluster.host(self.node))

    @property
    def nodes(self) -> tuple[int, ...]:
        """Who is dialled."""
        return (self.node,)

    def __str__(self) -> str:
        return f"client {self.client} dials node {self.node}"


class Ask(_OfClient, frozen=True, tag="ask"):
    """Send requests in one piece to a node, dialling it first if the client is not connected to it."""

    node: int
    requests: tuple[Request, ...]

    def apply(self, cluster: "Cluster") -> None:
        """Send, or keep them until the connection is open."""
        cluster.clients[self.client].ask(cluster.host(self.node), list(self.requests))

    @property
    def nodes(self) -> tuple[int, ...]:
        """Who is asked."""
        return (self.node,)

    def __str__(self) -> str:
        return f"client {self.client} asks node {self.node}: " + "; ".join(map(str, self.requests))


class Hangup(_OfClient, frozen=True, tag="hang up"):
    """Close the connection; what is not answered stays unknown."""

    def apply(self, cluster: "Cluster") -> None:
        """Hang up."""
        cluster.clients[self.client].leave()

    def __str__(self) -> str:
        return f"client {self.client} hangs up"


class ResetConnection(_OfClient, frozen=True, tag="reset connection"):
    """Break the client's connection in the middle; both ends hear of it."""

    def apply(self, cluster: "Cluster") -> None:
        """Nothing if there is none."""
        connection = cluster.clients[self.client].connection
        if connection is not None:
            cluster.streams.reset(connection)

    def __str__(self) -> str:
        return f"connection of client {self.client} breaks"


class StopReading(_OfClient, frozen=True, tag="stop reading"):
    """The client reads nothing from its connection until :class:`ReadOn`; a new connection is read."""

    def apply(self, cluster: "Cluster") -> None:
        """Nothing without a connection."""
        client = cluster.clients.get(self.client)
        if client is not None and client.connection is not None:
            cluster.streams.stop_reading(client.connection)

    def __str__(self) -> str:
        return f"client {self.client} stops reading"


class ReadOn(_OfClient, frozen=True, tag="read on"):
    """The client reads what waited, and goes on."""

    def apply(self, cluster: "Cluster") -> None:
        """Nothing for one that reads."""
        client = cluster.clients.get(self.client)
        if client is not None and client.connection is not None:
            cluster.streams.read_on(client.connection)

    def __str__(self) -> str:
        return f"client {self.client} reads on"


class CutClients(Deed, frozen=True, tag="cut clients"):
    """What clients and nodes send each other waits, for these pairs of a client and a node, until the cut of this
    number is mended. Dials wait too.
    """

    number: int
    pairs: tuple[tuple[int, int], ...]
    kind: ClassVar[str] = "network"

    def apply(self, cluster: "Cluster") -> None:
        """Cut."""
        cluster.streams.cut(self.number, self.pairs)

    @property
    def nodes(self) -> tuple[int, ...]:
        """The nodes that cannot be reached."""
        return tuple(sorted({node for _, node in self.pairs}))

    @property
    def begins(self) -> str:
        """The cut."""
        return f"clients cut off {self.number}"

    def __str__(self) -> str:
        pairs = ", ".join(f"client {client} <-/-> node {node}" for client, node in self.pairs)
        return f"clients cut off ({self.number}): {pairs}"


class MendClients(Deed, frozen=True, tag="mend clients"):
    """Clients reach nodes again, and what waited arrives."""

    number: int
    kind: ClassVar[str] = "network"

    def apply(self, cluster: "Cluster") -> None:
        """Nothing if it was mended before."""
        cluster.streams.mend(self.number)

    @property
    def ends(self) -> str:
        """The cut."""
        return f"clients cut off {self.number}"

    def __str__(self) -> str:
        return f"clients reach nodes again ({self.number})"
