"""Cluster membership: single-server changes (dissertation 4.1), effective as soon as they are in the log."""

from collections.abc import Iterator

import msgspec

from walrus.core.peer import Member


class MemberInfo(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One member: the node, the disk it joined with, where peers reach it, and whether it votes."""

    node: int
    storage: int
    address: str
    voter: bool


class Membership(msgspec.Struct, frozen=True, array_like=True):
    """All members, ascending by node, each node at most once.

    ``removed``: who was taken out, oldest first. A node may come again with another disk, a disk never.
    """

    members: tuple[MemberInfo, ...] = ()
    removed: tuple[Member, ...] = ()

    @property
    def voters(self) -> tuple[int, ...]:
        """The voting nodes, ascending."""
        return tuple(member.node for member in self.members if member.voter)

    @property
    def learners(self) -> tuple[int, ...]:
        """The nodes that receive the log but have no vote, ascending."""
        return tuple(member.node for member in self.members if not member.voter)

    def get(self, node: int) -> MemberInfo | None:
        """Return the member with this node id, or None."""
        for member in self.members:
            if member.node == node:
                return member
        return None

    def with_learner(self, info: MemberInfo) -> "Membership":
        """Add ``info`` without a vote. Raises ValueError where its node is a member already."""
        if self.get(info.node) is not None:
            raise ValueError(f"node {info.node} is already a member: expected a node id not in use")
        learner = msgspec.structs.replace(info, voter=False)
        return Membership(tuple(sorted((*self.members, learner), key=lambda member: member.node)), self.removed)

    def with_promoted(self, node: int) -> "Membership":
        """Give learner ``node`` a vote. Raises ValueError where it is not a learner."""
        if node not in self.learners:
            raise ValueError(f"node {node} cannot be promoted: expected one of the learners {self.learners}")
        return self._changed(node, voter=True)

    def with_address(self, node: int, address: str) -> "Membership":
        """Give member ``node`` another address. Raises ValueError where it is not a member."""
        if self.get(node) is None:
            raise ValueError(f"node {node} has no address to change: expected a member")
        return self._changed(node, address=address)

    def without(self, node: int) -> "Membership":
        """Remove member ``node``. Raises ValueError where it is not a member."""
        gone = self.get(node)
        if gone is None:
            raise ValueError(f"node {node} cannot be removed: expected a member")
        left = tuple(member for member in self.members if member.node != node)
        return Membership(left, (*self.removed, (gone.node, gone.storage)))

    def encode(self) -> bytes:
        """Return the data of a configuration entry."""
        return _ENCODER.encode(self)

    @staticmethod
    def decode(data: bytes) -> "Membership":
        """Read the data of a configuration entry. Raises msgspec.DecodeError for anything else."""
        return _DECODER.decode(data)

    def _changed(self, node: int, **fields: bool | str) -> "Membership":
        return Membership(
            tuple(
                msgspec.structs.replace(member, **fields) if member.node == node else member for member in self.members
            ),
            self.removed,
        )


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Membership)


class MembershipHistory:
    """The configurations that the log could still fall back to: the committed one and those after it.

    Invariant: indexes rise; the first one is the newest at or below the commit index.
    """

    def __init__(self) -> None:
        """Start before any configuration: no members, at index 0."""
        self._configurations: list[tuple[int, Membership]] = [(0, Membership())]

    @property
    def committed(self) -> Membership:
        """The newest configuration known to be committed."""
        return self._configurations[0][1]

    @property
    def latest(self) -> Membership:
        """The newest configuration in the log, the one that counts."""
        return self._configurations[-1][1]

    @property
    def change_pending(self) -> bool:
        """Whether a configuration in the log is not known to be committed."""
        return len(self._configurations) > 1

    def has_voter(self, member: Member) -> bool:
        """Whether any of the configurations has this member as a voter."""
        return any(
            found.voter and (found.node, found.storage) == member
            for _, membership in self._configurations
            for found in membership.members
        )

    def append(self, index: int, membership: Membership) -> None:
        """Take the configuration entry at ``index``."""
        assert index > self._configurations[-1][0], f"configuration at {index} is not newer"
        self._configurations.append((index, membership))

    def begin_at(self, index: int, membership: Membership) -> None:
        """``membership`` is the committed configuration as of ``index``; what is older is forgotten."""
        later = [found for found in self._configurations if found[0] > index]
        self._configurations = [(index, membership), *later]

    def truncate(self, from_index: int) -> bool:
        """Forget the configurations from ``from_index`` on; tell whether there were any."""
        before = len(self._configurations)
        while self._configurations[-1][0] >= from_index:
            self._configurations.pop()
        return len(self._configurations) != before

    def commit(self, commit_index: int) -> Iterator[tuple[int, Membership, Membership]]:
        """Move on to the configurations up to ``commit_index``; yield (index, before, after) of each."""
        while len(self._configurations) > 1 and self._configurations[1][0] <= commit_index:
            _, before = self._configurations.pop(0)
            index, after = self._configurations[0]
            yield index, before, after
