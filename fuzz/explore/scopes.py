"""The scopes: what each is about, what may happen in it, and which planted bugs it is known to catch."""

from typing import Final

from fuzz.explore.raft_scope import RAFT_LARGE, RAFT_SMALL, RaftScope
from fuzz.explore.scope import Scope

AnyScope = Scope | RaftScope

_TWO: Final = (1, 2)
_ALL: Final = (1, 2, 3)
_FOUR: Final = (1, 2, 3, 4)

SMALL: Final[tuple[Scope, ...]] = (
    Scope(
        "write", "Two records are written and nothing goes wrong.",
        catches=("gap-admitted", "one-copy-acknowledges", "copy-not-durable", "dirty-read"),
    ),
    Scope(
        "repeat", "A message comes twice while the segment of a running writer is recovered.",
        nodes=_TWO, members=_TWO, suspicions=((2, 1),), repeats=1, prompt_disks=_TWO,
        catches=("duplicate-truncates",),
    ),
    Scope(
        "failover", "The writer dies at any moment, and its segment is sealed without it.",
        records=1, kills=1, crashing=(1,),
        catches=("tail-from-the-shortest", "publish-before-repair"),
    ),
    Scope(
        "restart", "The writer crashes and starts again, on the copy it wrote.",
        nodes=_TWO, members=_TWO, records=1, crashes=1, crashing=(1,), prompt_disks=(2,),
        catches=("restarted-writer-resumes",),
    ),
    Scope(
        "two-recoverers", "Two leaders in turn recover the segment of a writer that runs.",
        nodes=_TWO, members=_TWO, records=1, suspicions=((2, 1),), elections=1, prompt_disks=_TWO,
        catches=("stopped-writer-silent",),
    ),
    Scope(
        "three-recoverers", "Three leaders in turn recover the segment of a writer that runs.",
        nodes=_TWO, members=_TWO, records=1, suspicions=((2, 1),), elections=2, prompt_disks=_TWO,
        catches=("epoch-reused",),
    ),
    Scope(
        "growth", "A segment grows from one copy to two and to three.",
        members=(1,), records=1, suspicions=((1, 3),), prompt_disks=_ALL,
        catches=("no-joint-quorum", "set-change-too-early", "set-change-given-up", "set-change-unconditional"),
    ),
    Scope(
        "growth-restart", "A segment grows from one copy to two, and the new member crashes.",
        nodes=_TWO, members=(1,), records=1, crashes=1, crashing=(2,), prompt_disks=(1,),
        catches=("dropped-at-replay",),
    ),
    Scope(
        "unknown-proposal", "The outcome of a set change stays unknown while the segment is recovered.",
        nodes=_TWO, members=(1,), records=1, suspicions=((2, 1),), prompt_disks=_TWO,
        catches=("set-changes-while-sealing",),
    ),
    Scope(
        "rollover", "A segment is full with each record, and rolls over.",
        records=2, segment_entries=1, last_segment=1,
        catches=("seal-before-drain",),
    ),
    Scope(
        "rollover-failover", "A writer rolls over while it is believed to be gone.",
        nodes=_TWO, members=_TWO, records=1, segment_entries=1, suspicions=((2, 1),), prompt_disks=_TWO,
        last_segment=1, catches=("rollover-unconditional",),
    ),
    Scope(
        "sealed-growth",
        "A sealed segment gets a second copy.",
        nodes=_TWO,
        members=(1,),
        records=1,
        segment_entries=1,
        prompt_disks=(1,),
        last_segment=1,
        catches=("sealed-set-change-unproved",),
    ),
    Scope(
        "cursor", "Records are read by GET across a rollover.",
        nodes=_TWO, members=_TWO, records=2, segment_entries=1, gets=2, prompt_disks=_TWO, last_segment=3,
        catches=("cursor-commit-unconditional", "cursor-past-outstanding"),
    ),
    Scope(
        "fence", "A fence meets a write in flight: the writer is believed to be gone and is not.",
        records=1, suspicions=((2, 1),), prompt_disks=(1, 3),
        catches=("fenced-copy-admits", "moved-after-sent", "tail-from-one-fence", "own-copy-unfenced",
                 "fence-before-drain"),
    ),
    Scope(
        "lost-copy",
        "A member loses its file, and its segment is recovered.",
        nodes=_TWO,
        members=_TWO,
        records=1,
        crashes=1,
        crashing=(2,),
        lost_files=1,
        suspicions=((2, 1),),
        electable=(2,),
        prompt_disks=_TWO,
        catches=("lost-copy-counted", "lost-copy-trusted"),
    ),
)  # fmt: skip

LARGE: Final[tuple[Scope, ...]] = (
    Scope(
        "fence-two-records", "A fence meets one of two writes in flight.",
        suspicions=((2, 1),), prompt_disks=_ALL, small=False, catches=("excess-dropped-early",),
    ),
    Scope(
        "fence-crash", "A member that has promised a fence crashes while a write is in flight to it.",
        records=1, suspicions=((2, 1),), crashes=1, crashing=(3,), prompt_disks=_TWO, small=False,
        catches=("fence-not-durable",),
    ),
    Scope(
        "two-recoverers-slow", "Two leaders in turn recover the segment of a writer that runs, with slow disks.",
        nodes=_TWO, members=_TWO, records=1, suspicions=((2, 1),), elections=1, small=False,
    ),
    Scope(
        "two-recoverers-of-three", "Two leaders in turn recover a segment of three copies whose writer runs.",
        records=1, suspicions=((2, 1),), elections=1, electable=(3,), prompt_disks=_ALL, small=False,
    ),
    Scope(
        "three-recoverers-of-three", "Three leaders in turn recover the segment of a writer that has died.",
        records=1, kills=1, crashing=(1,), elections=2, prompt_disks=_ALL, small=False,
    ),
    Scope(
        "growth-two-recoverers", "A segment grows from one copy to three while two leaders in turn recover it.",
        members=(1,), records=1, suspicions=((2, 1),), elections=1, electable=(3,), prompt_disks=_ALL, small=False,
    ),
    Scope(
        "replacement", "A member that is believed to be gone is replaced by the fourth node.",
        nodes=_FOUR, records=1, suspicions=((1, 3),), prompt_disks=_FOUR, small=False,
    ),
    Scope(
        "replacement-two-recoverers", "A member is replaced while two leaders in turn recover the segment.",
        nodes=_FOUR, members=_TWO, records=1, suspicions=((1, 2), (3, 1)), leader=3, elections=1, electable=(4,),
        prompt_disks=_FOUR, small=False,
    ),
    Scope(
        "replacement-sealing", "The writer dies and a member loses its file; a spare takes its place while SEALING.",
        nodes=_FOUR, records=1, kills=1, crashes=1, crashing=(1, 3), lost_files=1, prompt_disks=_FOUR, small=False,
    ),
    Scope(
        "lost-copy-of-three", "One member of three loses its file, and the segment is recovered.",
        records=1, crashes=1, crashing=(3,), lost_files=1, suspicions=((2, 1),), prompt_disks=_ALL, small=False,
    ),
    Scope(
        "lost-copy-slow",
        "A member loses its file while its disk is slow, and its segment is recovered.",
        nodes=_TWO,
        members=_TWO,
        records=1,
        crashes=1,
        crashing=(2,),
        lost_files=1,
        suspicions=((2, 1),),
        electable=(2,),
        prompt_disks=(1,),
        small=False,
        catches=("note-after-acknowledgement",),
    ),
    Scope(
        "late-drop", "A member is taken out of the set and comes back, and hears late that it was out.",
        members=_TWO, records=1, suspicions=((1, 2), (1, 3)), prompt_disks=_ALL, small=False,
        catches=("old-stay-counted",),
    ),
    Scope(
        "unknown-proposal-of-three",
        "The outcome of a growth from two copies to three stays unknown while the segment is recovered.",
        members=_TWO,
        records=1,
        suspicions=((2, 1),),
        prompt_disks=_ALL,
        last_segment=1,
        small=False,
        catches=("recovery-of-an-earlier-set",),
    ),
    Scope(
        "growth-three-records", "A segment grows while batches overtake each other on the way to the new copy.",
        nodes=_TWO, members=(1,), records=3, small=False, catches=("refusal-counted",),
    ),
    Scope(
        "rollover-set-change", "A full segment rolls over while a member is replaced and its writer believed gone.",
        members=_TWO, records=1, segment_entries=1, suspicions=((1, 2), (3, 1)), leader=3, prompt_disks=_ALL,
        last_segment=1, small=False, catches=("seal-during-set-change",),
    ),
)  # fmt: skip

SCOPES: Final[tuple[AnyScope, ...]] = (*RAFT_SMALL, *SMALL, *LARGE, *RAFT_LARGE)
"""Raft's first: the others stand on it."""
