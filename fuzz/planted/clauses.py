"""Clauses of the data path's rules, each taken out, that no bug elsewhere in the catalogue takes out alone."""

from fuzz.planted.bug import Bug, Edit
from walrus.core import routes
from walrus.core.metadata.state import Metadata
from walrus.core.segment.recovery import Recoveries
from walrus.core.segment.replica import Replica
from walrus.core.segment.store import ReplicaStore
from walrus.core.segment.writer import SegmentWriter
from walrus.core.segment.writers import Writers

_OWN = "own: a clause of the design"

BUGS = (
    Bug(
        "gap-admitted",
        0,
        "A copy takes a batch that starts behind its end, and leaves a hole.",
        _OWN,
        True,
        (
            Edit(Replica.check, "    if base > self.length:\n        return GAP\n", ""),
            Edit(
                Replica.admit,
                "        if not self.index.length:\n            self.appender.append(header)\n",
                "        if not self.index.length:\n            self.appender.append(header)\n"
                "        self.index.length = block.base\n",
            ),
        ),
    ),
    Bug(
        "duplicate-truncates",
        0,
        "A batch that comes again cuts off what was written behind it.",
        _OWN,
        True,
        (
            Edit(
                Replica.admit,
                "    new = []\n",
                "    new = []\n"
                "    if blocks and blocks[0].base < self.index.length and self.appender.idle:\n"
                "        self.cut(blocks[0].base)\n",
            ),
        ),
    ),
    Bug(
        "stopped-writer-silent",
        0,
        "A writer whose segment was sealed by another does not tell those who wait that their outcome is unknown.",
        _OWN,
        False,
        (
            Edit(
                SegmentWriter.stop,
                "self.results.append((UNKNOWN, self.in_flight.popleft()[1]))",
                "self.in_flight.popleft()",
            ),
        ),
    ),
    Bug(
        "set-changes-while-sealing",
        0,
        "A set change is applied although the segment is SEALING, so that its set is not frozen.",
        _OWN,
        True,
        (
            Edit(
                Metadata._change_set,
                "segment = self._expect(command.topic, command.segment, command.state, command.epoch)",
                "segment = self.topics[command.topic].segment(command.segment) or ''",
            ),
            Edit(
                Metadata._change_set,
                "    if segment.state == SEALING:\n"
                '        return f"segment {command.topic}:{command.segment} is SEALING: its replica set is frozen"\n',
                "",
            ),
            Edit(
                SegmentWriter.change_applied,
                '    assert segment.members == self.changing, "only the writer changes the set of an open segment"\n',
                "",
            ),
        ),
    ),
    Bug(
        "recovery-of-an-earlier-set",
        0,
        "A recoverer fences the set that it saw when it proposed SEALING, not the one at which SEALING applied.",
        _OWN,
        True,
        (
            Edit(
                Recoveries._begin,
                "self._begun[topic, segment.number] = (segment.epoch, self._raft.term)",
                "self._begun[topic, segment.number] = (segment.epoch, self._raft.term)\n"
                "        self._begun[topic, -segment.number] = segment.members",
            ),
            Edit(
                Recoveries.changed,
                "members = segment.members",
                "members = self._begun.get((topic, -segment.number), segment.members)",
            ),
        ),
    ),
    Bug(
        "epoch-reused",
        0,
        "The next recoverer goes on at the epoch of the one before.",
        _OWN,
        True,
        (
            Edit(
                Metadata._begin_sealing,
                "segment.state = SEALING\n    segment.epoch += 1",
                "segment.epoch += segment.state == OPEN\n    segment.state = SEALING",
            ),
        ),
    ),
    Bug(
        "own-copy-unfenced",
        0,
        "A fence does not bind the copy on the writer's own node, nor the writer.",
        _OWN,
        True,
        (
            Edit(routes._fence, "    node.writers.fenced((m.topic, m.segment), m.epoch)\n", ""),
            Edit(
                ReplicaStore.append,
                "    status = self._admissible(replica, message, blocks)\n",
                "    status = self._admissible(replica, message, blocks)\n"
                "    if status == FENCED and sender == self._out.node_id:\n"
                "        status = ACCEPTED\n",
            ),
        ),
    ),
    Bug(
        "tail-from-the-shortest",
        0,
        "A recoverer takes the least length among the fenced copies for the tail.",
        _OWN,
        True,
        (Edit(Recoveries._advance, "else max(fenced)", "else min(fenced)"),),
    ),
    Bug(
        "seal-during-set-change",
        0,
        "A writer seals its segment although the outcome of its set change is not known.",
        _OWN,
        False,
        (
            Edit(SegmentWriter.ready_to_seal, "return self.changing is None", "return True"),
            Edit(
                Writers._propose,
                '    assert writer.key not in self._proposed, "one set change or rollover in flight per segment"\n',
                "",
            ),
        ),
    ),
    Bug(
        "lost-copy-trusted",
        0,
        "A recoverer takes the answer of a member that has lost its copy for that of an empty one.",
        _OWN,
        True,
        (
            Edit(
                Recoveries.answered,
                "if message.status == ACCEPTED and (sender not in recovery.untrusted or sender in recovery.survived):",
                "if message.status in (ACCEPTED, UNTRUSTED):",
            ),
        ),
    ),
    Bug(
        "cursor-commit-unconditional",
        0,
        "A commit of the cursor is applied whoever owns the cursor by then, and whichever way it moves.",
        _OWN,
        True,
        (
            Edit(
                Metadata._commit_cursors,
                "if topic is None or last is None or last.number != commit.segment or last.state != OPEN:",
                "if topic is None or last is None:",
            ),
            Edit(Metadata._commit_cursors, "elif last.writer != command.writer:", "elif last.writer is None:"),
            Edit(Metadata._commit_cursors, "elif commit.offset > topic.cursor:", "elif commit.offset >= 0:"),
        ),
    ),
)
