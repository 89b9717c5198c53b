"""What operators decided against the rules, kept with the state for ever."""

import msgspec

from walrus.core.peer import Natural, TopicName


class UnsafeRecovery(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The cluster lost its majority for good, and an operator had it go on with what one node held.

    It took the place of the log's entry ``index`` of ``term``; until then the cluster had the id ``former``.
    """

    former: Natural
    node: Natural
    index: Natural
    term: Natural
    wall_ms: Natural  # when, milliseconds since 1970
    by: str  # the operator, as the command saw him
    given_up: tuple[Natural, ...]  # nodes that were members, and are no more
    lost: tuple[tuple[TopicName, Natural, Natural], ...]
    """Of each topic that lost sealed records: how many segments lost some, and how many records those are. What an
    open segment had on other nodes alone is not known.
    """

    def __str__(self) -> str:
        names = ", ".join(map(str, self.given_up)) or "none"
        what = "; ".join(
            f"{records} records of {segments} segments of {topic}" for topic, segments, records in self.lost
        )
        return (
            f"unsafe recovery was used at entry {self.index} in term {self.term} by {self.by} on node {self.node}: "
            f"nodes given up: {names}; sealed records lost: {what or 'none'}"
        )
