"""Bugs in what is removed: by retention, and with a deleted topic."""

from fuzz.planted.bug import Bug, Edit
from walrus.core.fetcher import Fetcher
from walrus.core.metadata.state import Metadata, Topic
from walrus.core.proposals import Proposals
from walrus.core.segment.store import ReplicaStore

BUGS = (
    Bug(
        "segment-numbers-again",
        0,
        "A topic made anew begins with segment 1, as the deleted one did.",
        "own: design section 4.10",
        False,
        (
            Edit(Metadata._create_topic, "number = self.deleted.get(command.topic, 1)", "number = 1"),
            Edit(Metadata._create_topic, "if command.born not in (0, number):", "if False:"),
        ),
    ),
    Bug(
        "retention-counts-what-goes",
        0,
        "What a limit keeps is counted with the segment that is to go.",
        "own",
        False,
        (Edit(Topic.removable, "        records -= segment.count\n        size_bytes -= segment.size_bytes\n", ""),),
    ),
    Bug(
        "trim-not-asked-again",
        0,
        "A removal by retention is applied whatever the settings have become since it was proposed.",
        "own",
        False,
        (
            Edit(
                Metadata._trim_topic,
                "command.first < command.keep <= topic.removable(command.wall_ms)",
                "command.first < command.keep <= topic.last.number",
            ),
        ),
    ),
    Bug(
        "deletion-told-at-once",
        0,
        "DELETE is answered when the Raft leader has applied it, while the writer may not have.",
        "own",
        False,
        (Edit(Proposals.settle, "if all(leases.lapsed(other, now_ns) for other in behind):", "if True:"),),
    ),
    Bug(
        "deleted-records-cached",
        0,
        "What was read of a deleted topic is shown for the same offsets of the next one of its name.",
        "own",
        False,
        (Edit(Fetcher.removed, "        self._windows.drop(topic)", "        pass"),),
    ),
    Bug(
        "gone-segment-admitted",
        0,
        "A late batch for a segment that is gone is taken, and its file made anew.",
        "own: design section 4.10",
        False,
        (
            Edit(
                ReplicaStore.append,
                "if self._metadata.is_gone(message.topic, message.segment):",
                "if False:",
            ),
        ),
    ),
)
