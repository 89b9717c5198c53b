"""What a scope of the Raft group allows to happen, and how often."""

from dataclasses import dataclass, field
from typing import Final

RAFT_CLAIMS: Final = "election safety; log matching; leader completeness; state machine safety"


@dataclass(frozen=True)
class RaftScope:
    """A Raft group that has one configuration in its log, and bounds on what can befall it."""

    name: str
    about: str
    nodes: tuple[int, ...] = (1, 2, 3)
    voters: tuple[int, ...] = (1, 2, 3)
    timeouts: int = 1
    standing: tuple[int, ...] = ()  # whose election timers fire; empty: all
    heartbeats: int = 0
    abandoned: int = 0  # leaders that lose touch with their quorum
    transfers: int = 0
    proposals: int = 1
    learners: int = 0  # of the nodes that are no voters, how many are added
    crashes: int = 0
    crashing: tuple[int, ...] = ()  # empty: all
    small: bool = True
    catches: tuple[str, ...] = field(default=(), compare=False)
    claims: str = RAFT_CLAIMS

    @property
    def members(self) -> tuple[int, ...]:
        """The nodes in the first configuration."""
        return self.voters

    @property
    def bounds(self) -> str:
        """What may befall the group, in words."""
        counted = [
            (self.timeouts, "election timeout"), (self.proposals, "command"), (self.heartbeats, "heartbeat"),
            (self.abandoned, "leader without its quorum"), (self.transfers, "transfer of leadership"),
            (self.learners, "node added"), (self.crashes, "crash"),
        ]  # fmt: skip
        return ", ".join(f"{count} x {what}" for count, what in counted if count)


RAFT_SMALL: Final[tuple[RaftScope, ...]] = (
    RaftScope(
        "raft-contest", "Two voters stand for election at once.", nodes=(1, 2), voters=(1, 2), timeouts=2, proposals=0,
        catches=("two-votes-in-a-term",),
    ),
    RaftScope(
        "raft-crash", "A voter of two crashes, and any part of its unfinished write reaches the disk.",
        nodes=(1, 2), voters=(1, 2), timeouts=1, crashes=1,
    ),
)  # fmt: skip

RAFT_LARGE: Final[tuple[RaftScope, ...]] = (
    RaftScope(
        "raft-again", "A leader of two voters stands for election again, with a command under way.",
        nodes=(1, 2), voters=(1, 2), timeouts=2, abandoned=1, standing=(1,), small=False,
    ),
    RaftScope(
        "raft-growth", "A third node joins two voters, catches up and is promoted.",
        voters=(1, 2), timeouts=1, proposals=0, learners=1, standing=(1,), small=False,
    ),
    RaftScope(
        "raft-election", "One of three voters stands for election and leads.",
        timeouts=1, proposals=0, standing=(1,), small=False,
    ),
    RaftScope(
        "raft-contest-of-three", "Two of three voters stand for election at once, and a command is proposed.",
        timeouts=2, standing=(1, 2), small=False,
    ),
    RaftScope(
        "raft-transfer", "A leader of three hands over.", timeouts=1, proposals=1, transfers=1, heartbeats=1,
        standing=(1,), small=False,
    ),
    RaftScope(
        "raft-crash-of-three", "A voter of three crashes between two elections.",
        timeouts=2, standing=(1, 2), crashes=1, crashing=(3,), proposals=0, small=False,
    ),
)  # fmt: skip
