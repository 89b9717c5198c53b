"""All planted bugs, those of the research note first, in its order."""

from typing import Final

from fuzz.planted import (
    clauses,
    clients,
    copies,
    durability,
    elections,
    founders,
    leases,
    replication,
    segments,
    snapshots,
    survivors,
    topics,
)
from fuzz.planted.bug import Bug

_GROUPS = (
    elections,
    replication,
    snapshots,
    leases,
    segments,
    copies,
    clauses,
    clients,
    topics,
    survivors,
    founders,
    durability,
)
_IN_THE_NOTE: Final = 22

BUGS: Final[tuple[Bug, ...]] = tuple(
    sorted((bug for group in _GROUPS for bug in group.BUGS), key=lambda bug: bug.number or _IN_THE_NOTE + 1)
)
