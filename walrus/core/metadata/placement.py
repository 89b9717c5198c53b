"""Who writes the next segment, and who copies it: pure choices from the known state.

``voters`` are always those of :func:`placeable`. Nodes that are to leave are chosen only where there is nobody else.
"""

from walrus.core.metadata.commands import ACTIVE, SEALED
from walrus.core.metadata.state import Metadata, NodeInfo, quorums
from walrus.core.peer import Member
from walrus.core.raft.membership import Membership


def placeable(nodes: dict[int, NodeInfo], membership: Membership) -> tuple[int, ...]:
    """The voters, but for those whose new disk has not announced itself yet."""
    return tuple(
        m.node for m in membership.members if m.voter and (m.node not in nodes or nodes[m.node].storage == m.storage)
    )


def staying(nodes: dict[int, NodeInfo], voters: tuple[int, ...]) -> tuple[int, ...]:
    """The voters that are not to leave; all of them where every one is."""
    return tuple(n for n in voters if n not in nodes or nodes[n].state == ACTIVE) or voters


def replica_target(nodes: dict[int, NodeInfo], voters: tuple[int, ...], target: int) -> int:
    """How many members a set should have: ``target``, but never more than there are voters that stay."""
    return min(target, len(staying(nodes, voters)))


def misplaced(nodes: dict[int, NodeInfo], voters: tuple[int, ...], members: tuple[Member, ...]) -> tuple[Member, ...]:
    """The members of a set that must be replaced whether they live or not: they leave, have left, or lost that disk."""
    stay = staying(nodes, voters)
    return tuple(m for m in members if m[0] not in stay or m[0] not in nodes or nodes[m[0]].storage != m[1])


def _rotation(candidates: list[int], after: int) -> list[int]:
    """``candidates`` (ascending) starting with the first above ``after``, then around."""
    return [n for n in candidates if n > after] + [n for n in candidates if n <= after]


def choose_writer(
    nodes: dict[int, NodeInfo], voters: tuple[int, ...], live: tuple[int, ...], after: int
) -> NodeInfo | None:
    """The next live voter after node ``after`` in id order; any known voter if none is live."""
    known = [n for n in voters if n in nodes]
    alive = [n for n in known if n in live]
    preferred = [n for n in alive if nodes[n].state == ACTIVE] or alive or known
    rotated = _rotation(preferred, after)
    return nodes[rotated[0]] if rotated else None


def choose_members(
    nodes: dict[int, NodeInfo], voters: tuple[int, ...], live: tuple[int, ...], writer: NodeInfo, target: int
) -> tuple[Member, ...]:
    """The writer and up to ``target - 1`` more voters, live ones first; never more than there are voters."""
    stay = staying(nodes, voters)
    known = [n for n in stay if n in nodes and n != writer.node]
    rotated = _rotation(known, writer.node)
    ordered = [n for n in rotated if n in live] + [n for n in rotated if n not in live]
    chosen = ordered[: max(0, min(target, len(stay)) - 1)]
    return tuple(sorted([writer.member, *(nodes[n].member for n in chosen)]))


def better_members(
    nodes: dict[int, NodeInfo],
    voters: tuple[int, ...],
    live: tuple[int, ...],
    gone: tuple[int, ...],
    members: tuple[Member, ...],
    target: int,
    writer: Member | None = None,
    lost: tuple[Member, ...] = (),
) -> tuple[Member, ...] | None:
    """A replica set to change to: grown towards the target, who is ``gone`` or misplaced replaced by live ones.

    So are those whose copy is ``lost``. An open segment cannot do without its ``writer``: it stays. None where nothing
    better can be had now. Smaller than the present set only where fewer voters stay than it has members: with 3 nodes,
    of which one leaves, sets have 2.
    """
    size = replica_target(nodes, voters, target)
    unfit = misplaced(nodes, voters, members) + lost
    kept = [m for m in members if m == writer or (m[0] not in gone and m not in unfit)]
    taken = {m[0] for m in kept}
    found = [n for n in voters if n in live and n in nodes and n not in taken and nodes[n].member not in lost]
    stay = staying(nodes, voters)
    spares = [nodes[n].member for n in found if n in stay]
    if len(kept) + len(spares) < size:  # better those that are to leave than too few
        spares += [nodes[n].member for n in found if n not in stay]
    wanted = tuple(sorted(kept + spares[: max(0, size - len(kept))]))
    return wanted if len(wanted) >= min(size, len(members)) and wanted != tuple(sorted(members)) else None


# --- what a node that is to leave still has ---


def holdings(metadata: Metadata, member: Member) -> dict[str, int]:
    """Of how many segments of each topic the member has a copy, as their sets say, or is the writer."""
    found: dict[str, int] = {}
    for topic in metadata.topics.values():
        count = sum(member in segment.members for segment in topic.segments)
        last = topic.last
        count += last.writer[:2] == member and member not in last.members
        if count:
            found[topic.name] = count
    return found


def endangered(
    metadata: Metadata, voters: tuple[int, ...], live: tuple[int, ...], member: Member
) -> list[tuple[str, int]]:
    """The segments (topic, number) of which nothing proves that all acknowledged records are left without ``member``.

    Every S of a set have each of them between them, so S other members that live are proof.
    """
    nodes, found = metadata.nodes, []
    for topic in metadata.topics.values():
        for segment in topic.segments:
            if member not in segment.members or (segment.state == SEALED and not segment.count):
                continue
            others = [m for m in segment.members if m != member and m[0] in voters and m[0] in live]
            sound = sum(m[0] in nodes and nodes[m[0]].storage == m[1] for m in others)
            if sound < quorums(len(segment.members))[1]:
                found.append((topic.name, segment.number))
    return found
