"""Bugs in snapshots of the metadata, their installation, and the cutting of the log behind them."""

from fuzz.planted.bug import Bug, Edit
from walrus.core.group import Group
from walrus.core.raft.follower import append_entries, install_snapshot
from walrus.core.raft.leader import Leader
from walrus.core.raft.progress import Progress
from walrus.core.raft.snapshot import SnapshotReceiver
from walrus.core.raft.state import RaftState
from walrus.core.running import Running
from walrus.core.startup import Startup

BUGS = (
    Bug(
        "cut-off-learner",
        3,
        "A learner is cut off while the leader compacts past it: a lost piece of the snapshot never goes out again.",
        "research note",
        True,
        (
            Edit(
                Leader._send_again, "progress.probe_sent = False", "progress.probe_sent = progress.snapshot is not None"
            ),
        ),
    ),
    Bug(
        "replayed-configuration",
        10,
        # Not the other way round: what stands in the log at or below a snapshot that belongs to it is never newer than
        # the snapshot's own, and the last of it is the same.
        "A node that starts from a snapshot goes by its configuration, although the log behind it has a newer one.",
        "research note",
        True,
        (
            Edit(
                RaftState.__init__,
                "entry.kind == ENTRY_CONFIG and entry.index > self.commit_index",
                "entry.kind == ENTRY_CONFIG and snapshot is None",
            ),
        ),
    ),
    Bug(
        "repeated-append-after-compaction",
        10,
        "A repeated append whose first entries are compacted is taken for one that brings new entries.",
        "research note",
        True,
        (
            Edit(
                append_entries,
                "    if prev_index < log.snapshot_index:\n        return _overlapping(state, message)\n"
                "    if log.term(prev_index) != message.prev_term:\n",
                "    if log.term(prev_index) not in (None, message.prev_term):\n",
            ),
        ),
    ),
    Bug(
        "log-cut-before-snapshot",
        0,
        "The log is cut before the snapshot that covers it is durable.",
        "own: the order in which a crash must find the two files",
        True,
        (
            Edit(
                Group.take_snapshot,
                "    self._files.write(taken(content, snapshot.encode(content), sent=False))\n",
                "    found = taken(content, snapshot.encode(content), sent=False)\n"
                "    self._files.write(found)\n"
                "    self.raft.snapshot_taken(found.raft)\n"
                "    self._cut_log(now_ns)\n",
            ),
        ),
    ),
    Bug(
        "install-over-newer-state",
        0,
        "A late snapshot takes a follower back to an older state.",
        "etcd raft's restore ignores a snapshot at or below the commit index for this",
        True,
        (
            Edit(
                install_snapshot,
                "    if message.index <= state.commit_index:\n"
                "        return SnapshotReply(state.term, message.index, message.checksum, message.total, True)\n",
                "",
            ),
            Edit(RaftState.restore, "    if snapshot.index <= self.commit_index:\n        return False\n", ""),
        ),
    ),
    Bug(
        "piece-offset-unchecked",
        0,
        "A follower strings the pieces of a snapshot together as they arrive, and nobody compares the checksum.",
        "own: LogCabin's and hashicorp/raft's transfers are streams, pieces over a lossy network are not",
        False,
        (
            Edit(SnapshotReceiver.take, "message.offset != len(self.buffer)", "not message.data"),
            Edit(SnapshotReceiver.take, "zlib.crc32(self.buffer) != message.checksum", "not self.buffer"),
        ),
    ),
    Bug(
        "transfer-not-resumed",
        0,
        "A leader does not believe a follower that has lost the pieces it had, and waits for it for ever.",
        "etcd issue 10219 has a relative: a follower stuck in the state of being sent a snapshot",
        False,
        (
            Edit(
                Progress.piece_answered,
                "reply.received != self.snapshot_offset",
                "reply.received > self.snapshot_offset",
            ),
        ),
    ),
    Bug(
        "snapshot-of-unapplied",
        0,
        "A snapshot says that it includes entries which were not applied yet.",
        "own",
        True,
        (
            Edit(
                Group.take_snapshot,
                "content = snapshot.take(metadata, self.cluster, raft.applied_index, term, raft.committed_membership)",
                "content = snapshot.take("
                "metadata, self.cluster, raft.log.last_index, raft.log.last_term, raft.committed_membership)",
            ),
        ),
    ),
    Bug(
        "members-forgotten-at-truncation",
        0,
        "A configuration that the log holds no more is not taken from the snapshot.",
        "own; braft and others keep it beside the snapshot for this",
        True,
        (
            Edit(
                RaftState.__init__,
                "        self._history.begin_at(snapshot.index, snapshot.membership)\n",
                "        self._history.begin_at(snapshot.index, Membership())\n",
            ),
        ),
    ),
    Bug(
        "snapshot-of-newer-members",
        0,
        "A snapshot carries the newest configuration of the log, not the one as of its last entry.",
        "own",
        True,
        (Edit(Group.take_snapshot, "term, raft.committed_membership)", "term, raft.membership)"),),
    ),
    Bug(
        "parts-not-told",
        0,
        "After an installation the state is new, and the parts that follow it entry by entry are not told.",
        "own",
        False,
        (Edit(Running._restore, "spread(self, self.metadata.drain(), now_ns)", "self.metadata.drain()"),),
    ),
    Bug(
        "unfinished-file-shows-through",
        0,
        "A file that a crash left unfinished is written over from its start, and its end becomes part of the next one.",
        "own: found while Walrus was written",
        False,
        (
            Edit(
                Startup.__init__,
                "sorted(path for path in files if path in _UNFINISHED or path.endswith(_REFILL))",
                "[]",
            ),
        ),
    ),
)
