"""A disk whose power may fail: of a write under way any sectors, or a beginning of any length, may have arrived."""

from dataclasses import dataclass, field

from hypothesis import strategies as st

from walrus.core.actions import Delete, Rename, Truncate, Write

SECTOR_BYTES = 512
Change = Write | Truncate | Rename | Delete


@dataclass(frozen=True)
class Fate:
    """What becomes of a change under way when the power fails.

    ``share``: of a write the beginning, in thousandths; of another change, whether it took place. ``sectors``: bits of
    the sectors that arrived besides; the others still hold what they held, or zeros.
    """

    share: int
    sectors: int = 0


PREFIXES = st.builds(Fate, share=st.integers(0, 1000))
FATES = st.one_of(PREFIXES, st.builds(Fate, share=st.integers(0, 1000), sectors=st.integers(0, 63)))


@dataclass
class PowerDisk:
    """``files`` is what is on the disk for certain; ``flying`` holds the changes under way, one per path."""

    files: dict[str, bytes] = field(default_factory=dict)
    flying: dict[str, Change] = field(default_factory=dict)

    def begin(self, change: Change) -> None:
        """A change is asked for."""
        assert change.path not in self.flying, f"two changes of {change.path} at a time"
        self.flying[change.path] = change

    def complete(self, path: str) -> Change:
        """The change of ``path`` is durable."""
        change = self.flying.pop(path)
        self.carry_out(change)
        return change

    def carry_out(self, change: Change) -> None:
        """Change the files."""
        if isinstance(change, Delete):
            self.files.pop(change.path, None)
        elif isinstance(change, Truncate):
            self.files[change.path] = self.files[change.path][: change.size]
        elif isinstance(change, Rename):
            self.files[change.to] = self.files.pop(change.path)
        else:
            self._store(change.path, change.offset, change.data)

    def power_fails(self, fates: dict[str, Fate]) -> set[str]:
        """Changes under way meet their fates (those without one are lost). Returns the paths whose write has holes."""
        holes = set()
        for path, change in self.flying.items():
            fate = fates.get(path, Fate(0))
            if not isinstance(change, Write):
                if fate.share >= 500:
                    self.carry_out(change)
                continue
            kept = len(change.data) * fate.share // 1000
            self._store(path, change.offset, change.data[:kept])
            if fate.sectors and self._sectors(change, fate, kept):
                holes.add(path)
        self.flying.clear()
        return holes

    def _sectors(self, write: Write, fate: Fate, kept: int) -> bool:
        """Store those sectors of the rest that arrived; returns whether there are any."""
        first = (write.offset + kept) // SECTOR_BYTES + 1
        last = (write.offset + len(write.data) - 1) // SECTOR_BYTES
        arrived = [sector for sector in range(first, last + 1) if fate.sectors >> (sector - first) & 1]
        for sector in arrived:
            start = sector * SECTOR_BYTES - write.offset
            self._store(write.path, sector * SECTOR_BYTES, write.data[start : start + SECTOR_BYTES])
        return bool(arrived)

    def _store(self, path: str, offset: int, data: bytes) -> None:
        old = self.files.get(path, b"")
        if data:
            self.files[path] = old[:offset].ljust(offset, b"\0") + data + old[offset + len(data) :]
