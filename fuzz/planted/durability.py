"""Bugs in topics that acknowledge without a sync: what is synced when, and what is believed after a loss of power."""

from fuzz.planted.bug import Bug, Edit
from walrus.core.segment.answers import Answers
from walrus.core.segment.notes import Notes
from walrus.core.segment.opener import Opener
from walrus.core.segment.recovery import Recoveries
from walrus.core.segment.replica import Replica
from walrus.core.segment.syncing import Syncs
from walrus.core.segment.writer import SegmentWriter

BUGS = (
    Bug(
        "doubtful-copy-counted",
        0,
        "A copy that had acknowledged without a sync before the power was lost counts with what is left of it.",
        "own: design 4.8",
        True,
        (Edit(Answers.fences, "replica.state == LOST or replica.doubtful", "replica.state == LOST"),),
    ),
    Bug(
        "boot-id-ignored",
        0,
        "A node does not ask whether the power was lost since it wrote without a sync.",
        "own: design 4.8",
        True,
        (Edit(Syncs.recalled, "replica.unsynced_boot != self._boot_id", "False"),),
    ),
    Bug(
        "interval-never-ends",
        0,
        "The sync that an interval ends with is never asked for.",
        "own: a timer that nobody looks at",
        False,
        (Edit(Syncs.tick, "if replica.needs_sync:", "if replica.needs_sync and now_ns < 0:"),),
    ),
    Bug(
        "clean-mark-too-early",
        0,
        "A copy is noted as synced before its sync was even asked for.",
        "own: a clean-shutdown mark that is written first",
        True,
        (Edit(Syncs.harden, "if replica.needs_sync:", "if replica.needs_sync and replica.may_defer is None:"),),
    ),
    Bug(
        "deferred-before-it-is-noted",
        0,
        "A copy writes without a sync while the note that it does is still on its way to the disk.",
        "own: a dirty mark that is written last",
        True,
        (Edit(Replica.flush, "not self.may_defer", "not self.deferred"),),
    ),
    Bug(
        "mark-of-unsynced",
        0,
        "Records are noted as durable that were written without a sync: a loss of power looks like rot.",
        "own",
        False,
        (
            Edit(
                Notes._mark,
                "if replica.synced_length > replica.marked:\n            replica.marked = replica.synced_length\n",
                "if replica.durable_length > replica.marked:\n            replica.marked = replica.durable_length\n",
            ),
        ),
    ),
    Bug(
        "sealed-unsynced",
        0,
        "A writer seals what a quorum holds in memory.",
        "own",
        True,
        (Edit(SegmentWriter.ready_to_seal, "synced) < self.length:", "synced) < 0:"),),
    ),
    Bug(
        "left-without-asking-all",
        0,
        "After a loss of power a recoverer goes by what is left before every member has told.",
        "own",
        True,
        (Edit(Recoveries._goes_by_what_is_left, "and all(", "and any("),),
    ),
    Bug(
        "memory-believed",
        0,
        "What a killed process had written and not synced counts when the next one reads it, and goes with the power.",
        "own: found by the simulator, seed 70088 of 3 nodes",
        True,
        (
            Edit(
                Opener._judged,
                "if verdict.state == SOUND and (replica.deferred or replica.length <= replica.marked):",
                "if verdict.state == SOUND:",
            ),
        ),
    ),
)
