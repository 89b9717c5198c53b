"""What a scope allows to happen, and how often."""

from dataclasses import dataclass, field
from typing import Final

CLAIMS: Final = (
    "one writer; replicas are prefixes; acknowledged records last, once each; sealed counts stable; reads and cursors "
    "stay within the acknowledged; from everywhere the cluster can get well"
)


@dataclass(frozen=True)
class Scope:
    """A small cluster whose topic ``logs`` has its segment 1 open, and bounds on what can befall it."""

    name: str
    about: str
    nodes: tuple[int, ...] = (1, 2, 3)
    members: tuple[int, ...] = (1, 2, 3)  # of the first segment's set
    writer: int = 1
    leader: int = 2  # of Raft, in term 1
    records: int = 2  # that the client puts, one after the other
    gets: int = 0
    segment_entries: int = 100  # records after which a segment is full
    elections: int = 0  # of a leader while the last one runs
    electable: tuple[int, ...] = ()  # empty: all nodes
    suspicions: tuple[tuple[int, int], ...] = ()  # (who, whom): a running node may be believed to be gone, once each
    ticks: int = 0  # timers that fire although other things are about to happen
    crashes: int = 0
    crashing: tuple[int, ...] = ()  # empty: all nodes
    kills: int = 0  # crashes without a restart
    lost_files: int = 0  # crashes that take all segment files of the node along
    repeats: int = 0  # messages that arrive and arrive again
    prompt_disks: tuple[int, ...] = ()  # nodes whose disk does at once what it is asked for
    last_segment: int = 2  # nothing is put into later ones
    small: bool = True  # it ends in seconds, and is run by the tests
    catches: tuple[str, ...] = field(default=(), compare=False)
    claims: str = CLAIMS

    @property
    def bounds(self) -> str:
        """What may befall the cluster, in words."""
        counted = [
            (self.records, "PUT"), (self.gets, "GET"), (self.crashes, "crash"), (self.kills, "crash for good"),
            (self.lost_files, "loss of a node's segment files"), (self.repeats, "message that comes twice"),
            (self.elections, "needless election"), (len(self.suspicions), "false suspicion"),
            (self.ticks, "early timer"),
        ]  # fmt: skip
        return ", ".join(f"{count} x {what}" for count, what in counted if count)
