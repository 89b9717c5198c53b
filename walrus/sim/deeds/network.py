"""The network between nodes: cuts, clogged links, and what becomes of single messages."""

from typing import TYPE_CHECKING, ClassVar

from walrus.sim.deeds.deed import Deed, ms

if TYPE_CHECKING:
    from walrus.sim.cluster import Cluster

Pairs = tuple[tuple[int, int], ...]
"""Links as (sender, recipient)."""


class Cut(Deed, frozen=True, tag="cut"):
    """Nothing passes on these links until the cut of this number is mended."""

    number: int
    pairs: Pairs
    text: str
    kind: ClassVar[str] = "network"

    def apply(self, cluster: "Cluster") -> None:
        """Cut."""
        cluster.network.cut(self.number, self.pairs)

    @property
    def nodes(self) -> tuple[int, ...]:
        """Everyone at an end of a link."""
        return tuple(sorted({node for pair in self.pairs for node in pair}))

    @property
    def begins(self) -> str:
        """The cut."""
        return f"cut {self.number}"

    def __str__(self) -> str:
        return f"network cut {self.number}: {self.text}"


class Mend(Deed, frozen=True, tag="mend"):
    """End a cut on these links (empty: on all of its links)."""

    number: int
    pairs: Pairs = ()
    kind: ClassVar[str] = "network"

    def apply(self, cluster: "Cluster") -> None:
        """Nothing if it was mended before."""
        cluster.network.mend(self.number, self.pairs)

    @property
    def ends(self) -> str:
        """The cut, where it is mended whole."""
        return "" if self.pairs else f"cut {self.number}"

    def __str__(self) -> str:
        return f"network cut {self.number} mended" + (" in part" if self.pairs else "")


class Clog(Deed, frozen=True, tag="clog"):
    """What is sent on these links is kept until they are free again: all of it, or messages of one kind, which the
    others overtake.
    """

    number: int
    pairs: Pairs
    message: str = ""  # empty: of every kind
    kind: ClassVar[str] = "network"

    def apply(self, cluster: "Cluster") -> None:
        """Clog."""
        cluster.network.clog(self.number, self.pairs, self.message)

    @property
    def nodes(self) -> tuple[int, ...]:
        """Everyone at an end of a link."""
        return tuple(sorted({node for pair in self.pairs for node in pair}))

    @property
    def begins(self) -> str:
        """The clog."""
        return f"clog {self.number}"

    def __str__(self) -> str:
        links = ", ".join(f"{a} -> {b}" for a, b in self.pairs)
        return f"links clogged{' for ' * bool(self.message)}{self.message} ({self.number}): {links}"


class Unclog(Deed, frozen=True, tag="unclog"):
    """Links are free again, and what was kept arrives."""

    number: int
    kind: ClassVar[str] = "network"

    def apply(self, cluster: "Cluster") -> None:
        """Nothing if they are free."""
        cluster.network.unclog(self.number)

    @property
    def ends(self) -> str:
        """The clog."""
        return f"clog {self.number}"

    def __str__(self) -> str:
        return f"links free again ({self.number})"


class SlowLinks(Deed, frozen=True, tag="slow links"):
    """Everything that is sent on these links takes longer by ``extra_ns``, and keeps its order."""

    number: int
    pairs: Pairs
    extra_ns: int
    kind: ClassVar[str] = "network"

    def apply(self, cluster: "Cluster") -> None:
        """Slow down."""
        cluster.network.slow_down(self.number, self.pairs, self.extra_ns)

    @property
    def nodes(self) -> tuple[int, ...]:
        """Everyone at an end of a link."""
        return tuple(sorted({node for pair in self.pairs for node in pair}))

    @property
    def begins(self) -> str:
        """Slowness."""
        return f"slow links {self.number}"

    def __str__(self) -> str:
        return f"links slower by {ms(self.extra_ns)} ({self.number}): " + ", ".join(
            f"{a} -> {b}" for a, b in self.pairs
        )


class UsualLinks(Deed, frozen=True, tag="usual links"):
    """Slow links have their usual speed again."""

    number: int
    kind: ClassVar[str] = "network"

    def apply(self, cluster: "Cluster") -> None:
        """Nothing if they have it."""
        cluster.network.speed_up(self.number)

    @property
    def ends(self) -> str:
        """Slowness."""
        return f"slow links {self.number}"

    def __str__(self) -> str:
        return f"links have their usual speed again ({self.number})"


class Disconnect(Deed, frozen=True, tag="disconnect"):
    """The connection between two nodes breaks; both hear of it."""

    node: int
    other: int
    kind: ClassVar[str] = "network"

    def apply(self, cluster: "Cluster") -> None:
        """Those that run hear of it."""
        cluster.network.disconnect(self.node, self.other)

    @property
    def nodes(self) -> tuple[int, ...]:
        """Both."""
        return (self.node, self.other)

    def __str__(self) -> str:
        return f"connection between nodes {self.node} and {self.other} breaks"


class Upgrade(Deed, frozen=True, tag="upgrade"):
    """From now on this node speaks as the next version will (:mod:`walrus.sim.next_version`)."""

    node: int
    kind: ClassVar[str] = "process"

    def apply(self, cluster: "Cluster") -> None:
        """Nothing for one that does."""
        cluster.network.newer[self.node] = True

    @property
    def nodes(self) -> tuple[int, ...]:
        """The one."""
        return (self.node,)

    @property
    def begins(self) -> str:
        """Being newer."""
        return f"node {self.node} is newer"

    def __str__(self) -> str:
        return f"node {self.node} is upgraded to the next version"


class Downgrade(Deed, frozen=True, tag="downgrade"):
    """From now on this node speaks as this version does."""

    node: int
    kind: ClassVar[str] = "process"

    def apply(self, cluster: "Cluster") -> None:
        """Nothing for one that does."""
        cluster.network.newer.pop(self.node, None)

    @property
    def nodes(self) -> tuple[int, ...]:
        """The one."""
        return (self.node,)

    @property
    def ends(self) -> str:
        """Being newer."""
        return f"node {self.node} is newer"

    def __str__(self) -> str:
        return f"node {self.node} is downgraded to this version"


class MessageFate(Deed, frozen=True, tag="message"):
    """What becomes of one message: the ``number``-th of its kind from ``sender`` to ``to``, counted from 1.

    ``extra_ns`` has the additional delay of each copy that arrives: none is a lost message, two are a doubled one. Must
    be known before the message is sent; scenarios plan it from the start.
    """

    sender: int
    to: int
    message: str
    number: int
    extra_ns: tuple[int, ...]
    kind: ClassVar[str] = "network"

    def apply(self, cluster: "Cluster") -> None:
        """Plan it."""
        cluster.network.plan(self)

    @property
    def nodes(self) -> tuple[int, ...]:
        """Its ends."""
        return (self.sender, self.to)

    def __str__(self) -> str:
        what = f"{self.message} #{self.number} from node {self.sender} to node {self.to}"
        if not self.extra_ns:
            return f"{what} is lost"
        if len(self.extra_ns) == 1:
            return f"{what} is {ms(self.extra_ns[0])} late"
        return f"{what} arrives {len(self.extra_ns)} times, the last {ms(max(self.extra_ns))} late"
