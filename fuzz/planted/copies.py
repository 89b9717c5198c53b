"""Bugs in the copies on a disk: fences, acknowledgements, what is dropped, cut or trusted."""

from fuzz.planted.bug import Bug, Edit
from walrus.core.node import Node
from walrus.core.segment.answers import Answers
from walrus.core.segment.notes import Notes
from walrus.core.segment.opener import Opener
from walrus.core.segment.repair import Repairs
from walrus.core.segment.replica import Replica
from walrus.core.segment.scan import Scan
from walrus.core.segment.scrub import Scrub
from walrus.core.segment.store import ReplicaStore
from walrus.core.startup import Startup
from walrus.core.storage.recordlog import recover

_NOTE_FIRST = "    if not replica.ack_to or (replica.length and (not replica.held or replica.held_token)):\n"

BUGS = (
    Bug(
        "middle-taken-for-tail",
        11,
        "Rot in the middle of a segment file is taken for a torn tail, and all behind it is cut.",
        "Protocol-Aware Recovery (FAST 2018); pebble issue 453, doltlite pull requests 1352 and 1890",
        True,
        (
            Edit(
                Scan.feed,
                "if self._in_tail and self._sound_block_in_tail():",
                "if self._in_tail and self._sound_block_in_tail() and self._size < 0:",
            ),
        ),
    ),
    Bug(
        "journal-hole-cut",
        11,
        "Rot in the middle of the Raft journal is taken for a torn tail, and all behind it is cut.",
        "Protocol-Aware Recovery (FAST 2018), on ZooKeeper, LogCabin and etcd",
        True,
        (Edit(recover, "if mark > end:", "if mark > len(data):"),),
    ),
    Bug(
        "failed-sync-believed",
        12,
        "After a failed sync the next one is believed, which succeeds and has written nothing.",
        "PostgreSQL until 2019 (fsyncgate)",
        True,
        (
            Edit(
                Node._write_failed,
                'self.out.log("error", f"Cannot write {event.path}: {event.error}; stopping, '
                'because what is on disk is unknown")',
                "self._write_completed(ev.WriteCompleted(event.token))\n    return",
            ),
        ),
    ),
    Bug(
        "roomless-write-believed",
        0,
        "A write for which the disk has no room is taken for one that is durable.",
        "own: what every caller of write() that ignores ENOSPC does",
        True,
        (
            Edit(
                Node._space_ran_out,
                "    self.space.ran_out(event, self._now_ns)\n",
                "    self._write_completed(ev.WriteCompleted(event.change.token))\n    return\n",
            ),
        ),
    ),
    Bug(
        "rot-passed-over",
        0,
        "Whoever looks through the sealed copies for rot takes what it finds for sound.",
        "own: a scrub that checks nothing",
        True,
        (
            Edit(Scrub._judge, "if verdict.state != SOUND:", "if verdict.state < SOUND:"),
            Edit(
                Scrub._judge,
                "elif verdict.index.length != segment.count:",
                "elif verdict.index.length > segment.count:",
            ),
        ),
    ),
    Bug(
        "fence-not-durable",
        17,
        "A fence is answered before it is durable.",
        "BookKeeper issue 2614 has a relative of it",
        True,
        (
            Edit(
                Answers.fences,
                "elif epoch <= replica.fence_durable:",
                "elif epoch <= replica.fence_epoch:",
            ),
            Edit(
                Answers.fence,
                "epoch = replica.fence_epoch if status == FENCED else replica.fence_durable",
                "epoch = replica.fence_epoch",
            ),
        ),
    ),
    Bug(
        "excess-dropped-early",
        19,
        "A fenced copy drops the batch that it does not know to be acknowledged, before SEALED says where the end is.",
        "Kafka until KIP-101: truncation to the high watermark",
        True,
        (
            Edit(
                ReplicaStore.fence,
                "        replica.ack_to.clear()\n",
                "        replica.ack_to.clear()\n"
                "        if replica.state == READY and replica.settled and len(replica.index.bases) > 1:\n"
                "            self.opener.cut(replica, replica.index.bases[-1])\n",
            ),
        ),
    ),
    Bug(
        "lost-copy-counted",
        21,
        "A copy that was lost counts in the seal quorum, as an empty one.",
        "research note; BookKeeper issue 4812 has a relative of it",
        True,
        (
            Edit(Opener.open, "elif replica.held:", "elif not replica.path:"),
            Edit(Answers.fences, "UNTRUSTED if untrusted else ACCEPTED", "ACCEPTED"),
        ),
    ),
    Bug(
        "fenced-copy-admits",
        0,
        "A fenced copy goes on taking batches of a lower epoch.",
        "BookKeeper pull request 4701",
        True,
        (
            Edit(Replica.check, "    if epoch < self.fence_epoch:\n        return FENCED\n", ""),
            Edit(
                ReplicaStore._admissible,
                "    if segment is not None and message.epoch < segment.epoch:\n        return FENCED\n",
                "",
            ),
        ),
    ),
    Bug(
        "fence-before-drain",
        0,
        "A fence is answered while admitted batches are being written, which are acknowledged afterwards.",
        "BookKeeper pull request 4701",
        True,
        (
            Edit(Answers.fences, " or not replica.settled", ""),
            Edit(ReplicaStore.fence, "        replica.ack_to.clear()\n", ""),
        ),
    ),
    Bug(
        "copy-not-durable",
        0,
        "A copy acknowledges a batch before it is durable.",
        "every store that acknowledges from the page cache",
        True,
        (
            Edit(
                ReplicaStore.append,
                "    if not new:\n        self.answers.acknowledge(replica)",
                "    self.answers.acknowledge(replica)",
            ),
            Edit(Answers.acknowledge, _NOTE_FIRST, "    if not replica.ack_to:\n"),
            Edit(Answers.acknowledge, "length, fence = replica.durable_length", "length, fence = replica.length"),
        ),
    ),
    Bug(
        "note-after-acknowledgement",
        0,
        "The catalogue notes a copy, and the set it is held under, after the acknowledgement instead of before.",
        "own: found while Walrus was written",
        False,
        (Edit(Answers.acknowledge, _NOTE_FIRST, "    if not replica.ack_to:\n"),),
    ),
    Bug(
        "spare-drops-fence",
        0,
        "A spare called in by a recovery drops its copy, and the fence it promised, as a node outside the set.",
        "own: found while Walrus was written",
        False,
        (
            Edit(
                ReplicaStore.reconcile,
                "        if segment.state == SEALED or (segment.state == OPEN and not replica.fence_epoch):\n"
                "            self._drop(replica)\n",
                "        self._drop(replica)\n",
            ),
        ),
    ),
    Bug(
        "dropped-at-replay",
        0,
        "A restarted node drops a copy because of a set older than the one under which it took the copy on.",
        "own: found while Walrus was written",
        False,
        (Edit(ReplicaStore.reconcile, " or segment.version < replica.version", ""),),
    ),
    Bug(
        "hold-not-read",
        0,
        "A member says that it holds a sealed segment because the catalogue says so, without reading it.",
        "own: seed 7102125 of 3 nodes, where a node that left dropped the only sound copy",
        False,
        (Edit(Repairs._answer_hold, "    if not self._store.open(replica):\n        return\n", ""),),
    ),
    Bug(
        "mark-ignored",
        21,
        "Rot of what is noted as durable is taken for a torn tail where it comes last, and the copy counts, shortened.",
        "Protocol-Aware Recovery (FAST 2018): a log must tell corruption from a crash",
        True,
        (Edit(Scan.feed, "if self._index.length < self._marked:", "if self._index.length < 0:"),),
    ),
    Bug(
        "cut-before-mark",
        0,
        "What lies above the sealed count is cut before the catalogue takes back that it is durable.",
        "own: an order that the design names",
        False,
        (Edit(ReplicaStore._cut, "if replica.marked > length:", "if replica.marked > length + replica.length:"),),
    ),
    Bug(
        "mark-before-durable",
        0,
        "Records are noted as durable when they are written, before they are: a crash makes a torn copy a lost one.",
        "own: a clause of the design",
        False,
        (
            Edit(
                Notes._mark,
                "if replica.synced_length > replica.marked:\n            replica.marked = replica.synced_length\n",
                "if replica.length > replica.marked:\n            replica.marked = replica.length\n",
            ),
            Edit(
                ReplicaStore._admit,
                "        self._dirty[replica.key] = None\n",
                "        self._dirty[replica.key] = None\n        self.notes.grew(replica)\n",
            ),
        ),
    ),
    Bug(
        "refilled-in-place",
        0,
        "A damaged copy is emptied before another one has been filled.",
        "own: Walrus did so before",
        False,
        (Edit(ReplicaStore._empty, "if has_file and segment is not None and segment.count:", "if not replica.path:"),),
    ),
    Bug(
        "hold-not-noted",
        0,
        "A new member of a sealed set says that it holds the records before its disk notes under which set.",
        "own: found while Walrus was written",
        False,
        (
            Edit(
                Repairs._answer_hold,
                "if self._store.admitted_under(replica, version) and replica.complete:",
                "self._store.admitted_under(replica, version)\n    if replica.complete:",
            ),
        ),
    ),
    Bug(
        "removed-member-pulls",
        0,
        "A node that is no member of a set any more goes on pulling the records it lacks.",
        "own: found while Walrus was written",
        False,
        (
            Edit(
                Repairs.tick,
                "if not pull.epoch and segment is not None and not self._is_wanted(key, segment):",
                "if segment is pull:",
            ),
            Edit(
                Repairs._look_at,
                "if segment is not None and not self._is_wanted(key, segment):",
                "if segment is None:",
            ),
        ),
    ),
    Bug(
        "torn-tail-kept",
        0,
        "After a crash a segment file goes on behind its torn tail instead of in its place.",
        "CQLite issue 1390, amelie issue 17",
        False,
        (
            Edit(
                Opener._judged,
                "        self.cut(replica, replica.length)\n",
                "        if replica.length:\n"
                "            replica.index.end_position = replica.appender.durable_end = self._files[replica.path]\n"
                "            self.opened.append(replica)\n"
                "        else:\n"
                "            self.cut(replica, 0)\n",
            ),
        ),
    ),
    Bug(
        "torn-journal-kept",
        0,
        "After a crash the Raft journal goes on behind its torn tail instead of in its place.",
        "CQLite issue 1390, amelie issue 17",
        False,
        (
            Edit(
                Startup._journal_read, "if data and (found is None or found.dirty_tail):", "if data and found is None:"
            ),
            Edit(
                Startup._journal_sound,
                "RecordLog(JOURNAL_PATH, self._tokens, found.end, self._ahead_bytes)",
                "RecordLog(JOURNAL_PATH, self._tokens, self._files[JOURNAL_PATH])",
            ),
        ),
    ),
)
