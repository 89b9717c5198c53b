"""Disks: they become slow, fill up, fail, rot, and are lost.

Journals and catalogues are read only when a process starts, so whatever befalls them befalls a node that is down.
Damage that recovery could not tell from a torn tail is not done (see :mod:`walrus.sim.damage`), and neither is a
misdirected write that lands exactly where a block or record begins: blocks do not say which segment they are of, so
one that has the right place and base in another file would be taken for that file's own.
"""

from typing import TYPE_CHECKING, ClassVar, Final

from walrus.core.segment.replica import LOST, UNREAD
from walrus.sim import probe
from walrus.sim.damage import LOGS, can_be_told, is_segment, is_vital, marked_on, pieces_of, segment_of
from walrus.sim.deeds.deed import MS, Deed, ms
from walrus.sim.disk import READ_ERROR, SECTOR_BYTES

if TYPE_CHECKING:
    from walrus.sim.cluster import Cluster
    from walrus.sim.host import Host

BIT_ROT: Final = "bit-rot"
MISDIRECTED: Final = "misdirected-write"
DISK_LOSS: Final = "disk-loss"
_LOOK_NS: Final = 10 * MS


class OfDisk(Deed, frozen=True):
    """Something done to one node's disk."""

    node: int
    kind: ClassVar[str] = "disk"

    @property
    def nodes(self) -> tuple[int, ...]:
        """The one whose disk it is."""
        return (self.node,)


class SlowDown(OfDisk, frozen=True, tag="slow disk"):
    """Everything that this disk does takes from ``least_ns`` to ``most_ns``."""

    least_ns: int
    most_ns: int

    def apply(self, cluster: "Cluster") -> None:
        """Slow down."""
        cluster.host(self.node).disk.latency_ns = (self.least_ns, self.most_ns)

    @property
    def begins(self) -> str:
        """Slowness."""
        return f"disk {self.node} is slow"

    def __str__(self) -> str:
        return f"disk of node {self.node} becomes slow (up to {ms(self.most_ns)})"


class NormalSpeed(OfDisk, frozen=True, tag="normal disk speed"):
    """The disk is as fast as it was at the start."""

    def apply(self, cluster: "Cluster") -> None:
        """Give it back its speed."""
        cluster.host(self.node).disk.latency_ns = cluster.setup.disk_latency_ns[self.node - 1]

    @property
    def ends(self) -> str:
        """Slowness."""
        return f"disk {self.node} is slow"

    def __str__(self) -> str:
        return f"disk of node {self.node} has its usual speed again"


class FillUp(OfDisk, frozen=True, tag="no space"):
    """So many more bytes fit on the disk; a change that needs more is not begun."""

    room_bytes: int

    def apply(self, cluster: "Cluster") -> None:
        """Fill it, until there is room again or all disks heal."""
        cluster.host(self.node).disk.room_bytes = self.room_bytes

    @property
    def begins(self) -> str:
        """Having no room."""
        return f"disk {self.node} is full"

    def __str__(self) -> str:
        return f"disk of node {self.node} is full but for {self.room_bytes} bytes"


class MakeRoom(OfDisk, frozen=True, tag="room again"):
    """Everything fits again."""

    def apply(self, cluster: "Cluster") -> None:
        """Make room."""
        cluster.host(self.node).disk.room_bytes = None

    @property
    def ends(self) -> str:
        """Having no room."""
        return f"disk {self.node} is full"

    def __str__(self) -> str:
        return f"disk of node {self.node} has room again"


class FailSync(OfDisk, frozen=True, tag="failed sync"):
    """The next change to a file whose path begins so fails: of its bytes the first ``kept_bytes`` are on the disk. What
    the same process syncs to that file afterwards is reported done and is not.
    """

    path_prefix: str
    kept_bytes: int

    def apply(self, cluster: "Cluster") -> None:
        """Lie in wait, until all disks heal."""
        host = cluster.host(self.node)
        host.disk.fail_sync(self.path_prefix, self.kept_bytes)
        host.injured = host.disk.injury

    def __str__(self) -> str:
        return f"disk of node {self.node}: the next sync of {self.path_prefix or 'any file'} fails"


class ReadErrors(OfDisk, frozen=True, tag="read errors"):
    """Reads of these bytes of a file fail until they are written anew, or the disk has recovered."""

    path: str
    start: int
    end: int

    def apply(self, cluster: "Cluster") -> None:
        """Nothing where there is no such file."""
        host = cluster.host(self.node)
        if self.path in host.disk.files:
            host.disk.damage.add(READ_ERROR, self.path, self.start, self.end)
            host.injured = host.disk.injury

    @property
    def begins(self) -> str:
        """Being hard to read."""
        return f"disk {self.node} is hard to read"

    def __str__(self) -> str:
        return f"disk of node {self.node}: bytes {self.start} to {self.end} of {self.path} cannot be read"


class ReadsAgain(OfDisk, frozen=True, tag="reads again"):
    """All of this disk can be read again."""

    def apply(self, cluster: "Cluster") -> None:
        """Read."""
        host = cluster.host(self.node)
        host.disk.damage.end_of_kind(READ_ERROR)
        host.injured = host.disk.injury

    @property
    def ends(self) -> str:
        """Being hard to read."""
        return f"disk {self.node} is hard to read"

    def __str__(self) -> str:
        return f"disk of node {self.node} can be read again"


class Rot(OfDisk, frozen=True, tag="bit rot"):
    """Bits of one byte of a file turn over."""

    path: str
    offset: int
    mask: int

    def apply(self, cluster: "Cluster") -> None:
        """Nothing where recovery could not tell it from a torn tail."""
        host = cluster.host(self.node)
        content = _at_rest(host, self.path)
        if content is not None and _can_be_told(host, self.path, self.offset, self.offset + 1):
            content[self.offset] ^= self.mask
            _damaged(host, BIT_ROT, self.path, self.offset, self.offset + 1)

    def __str__(self) -> str:
        return f"disk of node {self.node}: byte {self.offset} of {self.path} rots (xor {self.mask:#04x})"


class Misdirect(OfDisk, frozen=True, tag="misdirected write"):
    """The write that made ``length`` bytes at ``offset`` of a file went elsewhere, and the disk said nothing.

    Whole sectors went to ``to_offset`` (a sector border) of ``to_path``; at the intended place is what was there
    before: nothing. Done when later writes to both files are durable, which to a node that does not read what it has
    just written is the same as when it happened.
    """

    path: str
    offset: int
    length: int
    to_path: str
    to_offset: int

    def apply(self, cluster: "Cluster") -> None:
        """Nothing where recovery could not tell either damage from a torn tail."""
        host = cluster.host(self.node)
        source, target = _at_rest(host, self.path), _at_rest(host, self.to_path)
        if source is None or target is None:
            return
        end, ahead = self.offset + self.length, self.offset % SECTOR_BYTES
        image = bytes(source[self.offset - ahead : end])
        image += bytes(-len(image) % SECTOR_BYTES)
        to_end = min(self.to_offset + len(image), len(target))
        if (
            _can_be_told(host, self.path, self.offset, end)
            and _can_be_told(host, self.to_path, self.to_offset, to_end)
            and not self._fits(bytes(source), bytes(target))
            and (source is not target or to_end <= self.offset - ahead or end <= self.to_offset)
        ):
            target[self.to_offset : to_end] = image[: to_end - self.to_offset]
            source[self.offset : end] = bytes(self.length)
            _damaged(host, MISDIRECTED, self.path, self.offset, end)
            _damaged(host, MISDIRECTED, self.to_path, self.to_offset, to_end)

    def _fits(self, source: bytes, target: bytes) -> bool:
        """Whether a block or record of the sectors lands where one begins."""
        first_byte = self.offset - self.offset % SECTOR_BYTES
        borders = [first for first, _ in pieces_of(self.to_path, target)]
        return any(
            first - first_byte + self.to_offset in borders
            for first, _ in pieces_of(self.path, source)
            if first_byte <= first < self.offset + self.length
        )

    def __str__(self) -> str:
        return (
            f"disk of node {self.node}: what was written to bytes {self.offset} to {self.offset + self.length} of "
            f"{self.path} went to byte {self.to_offset} of {self.to_path}"
        )


class LoseFile(OfDisk, frozen=True, tag="lost file"):
    """One file is gone. One of those read at the start only from a disk with copies, where it is missed."""

    path: str

    def apply(self, cluster: "Cluster") -> None:
        """Nothing for a node that runs, or where there is no such file."""
        host = cluster.host(self.node)
        files = host.disk.files
        if not host.up and self.path in files and any(is_segment(path) for path in files):
            host.disk.settle(self.path)
            size = len(files.pop(self.path))
            _damaged(host, DISK_LOSS, self.path, 0, size)

    def __str__(self) -> str:
        return f"disk of node {self.node} loses {self.path}"


class LoseDisk(OfDisk, frozen=True, tag="lost disk"):
    """The disk is gone with all that it held, and the process with it. Nothing starts here until somebody replaces the
    node.
    """

    def apply(self, cluster: "Cluster") -> None:
        """Kill and empty."""
        host = cluster.host(self.node)
        if host.up:
            host.crash(keep_per_million=0)
        host.disk.files.clear()
        host.disk.unsynced.clear()
        host.disk.damage.fatal = "the loss of its disk"
        host.injured = host.disk.injury
        host.dead = True

    @property
    def begins(self) -> str:
        """Being down, for good."""
        return f"node {self.node} is down"

    def __str__(self) -> str:
        return f"disk of node {self.node} is lost"


def _at_rest(host: "Host", path: str) -> bytearray | None:
    """A file that may be damaged now; None where there is none."""
    if path in LOGS and host.up:
        return None
    host.disk.settle(path)
    return host.disk.files.get(path)


def _can_be_told(host: "Host", path: str, start: int, end: int) -> bool:
    files = host.disk.files
    marked = marked_on(path, files) if is_segment(path) else 0
    return can_be_told(path, bytes(files[path]), start, end, marked)


def _damaged(host: "Host", kind: str, path: str, start: int, end: int) -> None:
    damage = host.disk.damage
    copy = probe.replica(host, *segment_of(path)) if is_segment(path) else None
    was_read = copy is not None and copy.state not in (UNREAD, LOST)
    damage.add(kind, path, start, end, host.world_ns, host.life if was_read else 0)
    if path in LOGS:
        if is_vital(path, host.disk.files):
            damage.fatal = damage.fatal or f"{kind} of {path}"
        host.injured = host.disk.injury


def heal_disk(cluster: "Cluster", host: "Host") -> None:
    """Nothing is wrong with the disk any more but what is damaged on it."""
    host.disk.heal()
    host.injured = host.disk.injury
    if host.disk.failed:
        _stops_soon((cluster, host, host.life))


def _stops_soon(item: "tuple[Cluster, Host, int]") -> None:
    """A process that was told of a failure stops itself when it comes to it, and somebody starts it again."""
    cluster, host, life = item
    if host.life != life or host.node_id in cluster.broken:
        return
    if host.up:
        cluster.world.after(_LOOK_NS, _stops_soon, item)
    else:
        cluster.restart(host)
        host.injured = host.disk.injury
