"""A snapshot is what the log gives: the state in it, byte for byte, is that of a machine to which exactly the committed
entries up to its index were applied, and its members are those of the newest configuration among them (the
dissertation, chapter 5). What a node has made of it is the same.
"""

import msgspec

from walrus.core.metadata import snapshot as body
from walrus.core.metadata.commands import decode
from walrus.core.metadata.state import Metadata
from walrus.core.peer import ENTRY_CONFIG, ENTRY_NORMAL
from walrus.core.raft.membership import Membership
from walrus.core.raft.snapshot import RaftSnapshot
from walrus.sim import probe
from walrus.sim.checkers.log_matching import LogMatching
from walrus.sim.checkers.state_machine_safety import StateMachineSafety
from walrus.sim.host import Host
from walrus.sim.probe import RaftView
from walrus.sim.world import Violation


class _Replay:
    """A machine of its own, to which the committed entries are applied one by one."""

    def __init__(self, start: body.Snapshot | None) -> None:
        self.index = 0
        self.metadata = Metadata()
        self.membership = Membership()
        if start is not None:
            body.restore(self.metadata, start)
            self.metadata.changes.clear()
            self.index, self.membership = start.index, start.membership


class Snapshots:
    """Replays what was committed, as far as the newest snapshot seen; for an older one from the start."""

    def __init__(self, matching: LogMatching, machine: StateMachineSafety) -> None:
        self._matching = matching
        self._machine = machine
        self._start: body.Snapshot | None = None
        self._newest = _Replay(None)
        self._seen: dict[int, bytes] = {}  # index -> the snapshot as it must be, without its cluster

    def begin_with(self, start: body.Snapshot) -> None:
        """The log begins behind this one."""
        self._start, self._newest = start, _Replay(start)

    def changed(self, host: Host, raft: RaftView, before: RaftSnapshot | None, base: int, commit: int) -> None:
        """A node has another snapshot than ``before``, or its log begins behind another entry than ``base``.

        ``commit``: its commit index then, -1 where its process has just begun.
        """
        snapshot = raft.snapshot
        if raft.log.snapshot_index > base and commit >= 0:
            host.note(f"holds entries from {raft.log.snapshot_index + 1} on", "log truncated")
        if snapshot is None or snapshot is before:
            return
        self._check(host, snapshot)
        if before is None or snapshot.index > before.index:
            self._tell(host, raft, snapshot, commit)

    def _tell(self, host: Host, raft: RaftView, snapshot: RaftSnapshot, commit: int) -> None:
        if commit < 0:
            host.note(f"starts from the snapshot of entry {snapshot.index}", "started from a snapshot")
        elif commit < snapshot.index:
            host.note(f"is brought to the snapshot of entry {snapshot.index}", "snapshot installed")
        else:
            host.note(f"has a snapshot of entry {snapshot.index}", "snapshot written")
        state = probe.metadata(host)
        if state is not None and raft.applied_index == snapshot.index:
            mine = body.take(state, 0, snapshot.index, snapshot.term, snapshot.membership)
            if body.encode(mine) != self._seen[snapshot.index]:
                raise Violation(f"snapshots: node {host.node_id} is not in the state of its snapshot {snapshot.index}")

    def _check(self, host: Host, snapshot: RaftSnapshot) -> None:
        index = snapshot.index
        if index not in self._seen:
            self._seen[index] = self._replayed(host, index)
        found = body.encode(msgspec.structs.replace(body.decode(snapshot.data), cluster=0))
        if found != self._seen[index]:
            raise Violation(
                f"snapshots: that of node {host.node_id} up to entry {index} is not what the committed entries give"
            )

    def _replayed(self, host: Host, index: int) -> bytes:
        committed = self._machine.committed
        if index >= len(committed):
            raise Violation(f"snapshots: node {host.node_id} has one up to entry {index}, which was never committed")
        replay = self._newest
        if replay.index > index:
            replay = _Replay(self._start)
        else:
            self._newest = replay
        while replay.index < index:
            replay.index += 1
            entry = self._matching.entry(replay.index, committed[replay.index][0])
            assert entry is not None
            if entry.kind == ENTRY_NORMAL:
                replay.metadata.apply(decode(entry.data))
                replay.metadata.changes.clear()
            elif entry.kind == ENTRY_CONFIG:
                replay.membership = Membership.decode(entry.data)
        return body.encode(body.take(replay.metadata, 0, index, committed[index][0], replay.membership))
