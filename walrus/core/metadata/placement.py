"""Who writes the next segment, and who copies it: pure choices from the known state."""

from walrus.core.metadata.state import NodeInfo
from walrus.core.peer import Member


def _rotation(candidates: list[int], after: int) -> list[int]:
    """``candidates`` (ascending) starting with the first above ``after``, then around."""
    return [n for n in candidates if n > after] + [n for n in candidates if n <= after]


def choose_writer(
    nodes: dict[int, NodeInfo], voters: tuple[int, ...], live: tuple[int, ...], after: int
) -> NodeInfo | None:
    """The next live voter after node ``after`` in id order; any known voter if none is live."""
    known = [n for n in voters if n in nodes]
    preferred = [n for n in known if n in live] or known
    rotated = _rotation(preferred, after)
    return nodes[rotated[0]] if rotated else None


def choose_members(
    nodes: dict[int, NodeInfo], voters: tuple[int, ...], live: tuple[int, ...], writer: NodeInfo, target: int
) -> tuple[Member, ...]:
    """The writer and up to ``target - 1`` more voters, live ones first; never more than there are voters."""
    known = [n for n in voters if n in nodes and n != writer.node]
    rotated = _rotation(known, writer.node)
    ordered = [n for n in rotated if n in live] + [n for n in rotated if n not in live]
    chosen = ordered[: max(0, min(target, len(voters)) - 1)]
    return tuple(sorted([writer.member, *(nodes[n].member for n in chosen)]))


def better_members(
    nodes: dict[int, NodeInfo],
    voters: tuple[int, ...],
    live: tuple[int, ...],
    gone: tuple[int, ...],
    members: tuple[Member, ...],
    target: int,
) -> tuple[Member, ...] | None:
    """A replica set to change to: grown towards the target, members that are ``gone`` replaced by live ones.

    None where nothing better can be had now. Never smaller than the present set.
    """
    size = min(target, len(voters))
    kept = [m for m in members if m[0] not in gone and m[0] in nodes and nodes[m[0]].storage == m[1]]
    taken = {m[0] for m in kept}
    spares = [nodes[n].member for n in voters if n in live and n in nodes and n not in taken]
    wanted = tuple(sorted(kept + spares[: max(0, size - len(kept))]))
    return wanted if len(wanted) >= len(members) and wanted != tuple(sorted(members)) else None
