"""What a state holds besides machines and messages: the log, the client, what is left of the scope's bounds."""

from typing import Final, NamedTuple

from fuzz.explore.scope import Scope
from fuzz.explore.views import TOPIC, Payloads
from walrus.core.metadata.commands import SEALED
from walrus.core.metadata.state import Metadata
from walrus.core.peer import Member
from walrus.core.segment.messages import DONE, UNKNOWN

# What has become of a record, where it is not the number of the request under way.
UNSENT: Final = 0
STORED: Final = -1
OPEN_ENDED: Final = -2  # its node said so, or crashed
NONE: Final = -3
NODES: Final = 16  # a request's number is so many times its place among all, plus the node that was asked
ENDED: Final = {DONE: STORED, UNKNOWN: OPEN_ENDED}


class Rest(NamedTuple):
    """What a state holds besides machines and messages."""

    log: int
    term: int
    leader: int
    elections: int  # how many are left, and so on
    suspicions: tuple[tuple[int, int], ...]
    ticks: int
    crashes: int
    kills: int
    lost_files: int
    repeats: int
    gets: int
    dead: tuple[int, ...]  # nodes that never start again
    records: tuple[int, ...]  # of the client: UNSENT, the number of the request under way, or how it ended
    sends: int
    acked: tuple[Payloads, ...]  # by segment: records acknowledged, or counted once its count is published
    handed: tuple[int, ...]  # absolute offsets that the client got by GET
    burnt: tuple[tuple[Member, int, int], ...]  # (member, segment, length) of copies that were lost

    def without(self, node: int) -> "Rest":
        """The node has crashed: what was asked of it is not answered any more."""
        records = tuple(OPEN_ENDED if ended > 0 and ended % NODES == node else ended for ended in self.records)
        return self._replace(records=records)

    @staticmethod
    def first(scope: Scope) -> "Rest":
        """At the beginning of a scope."""
        return Rest(
            0, 1, scope.leader, scope.elections, scope.suspicions, scope.ticks, scope.crashes, scope.kills,
            scope.lost_files, scope.repeats, scope.gets, (), (UNSENT,) * scope.records, 0, (), (), (),
        )  # fmt: skip


def flat(rest: Rest, metadata: Metadata) -> Payloads:
    """All records of the topic that a reader may see, by absolute offset."""
    found: list[bytes] = []
    for segment in metadata.topics[TOPIC].segments:
        payloads = rest.acked[segment.number - 1] if segment.number <= len(rest.acked) else ()
        found += payloads[: segment.count] if segment.state == SEALED else payloads
    return tuple(found)
