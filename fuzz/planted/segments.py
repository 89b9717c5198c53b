"""Bugs in writing, sealing and recovering segments, and in what the metadata accepts."""

from fuzz.planted.bug import Bug, Edit
from walrus.core.metadata.state import Metadata
from walrus.core.segment.recovery import Recoveries
from walrus.core.segment.upkeep import Upkeep
from walrus.core.segment.writer import SegmentWriter
from walrus.core.segment.writers import Writers

_NO_ASSUMED_CHANGE = Edit(
    SegmentWriter.change_applied,
    '    assert segment.members == self.changing, "only the writer changes the set of an open segment"\n',
    "",
)

BUGS = (
    Bug(
        "seal-before-drain",
        13,
        "A rollover seals at what is acknowledged while more is under way, and acknowledges that after.",
        "BookKeeper issue 1712, HerdDB issue 100",
        True,
        (
            Edit(
                SegmentWriter.ready_to_seal,
                "if self.state != DRAINING or self.in_flight:",
                "if self.state != DRAINING:",
            ),
            Edit(SegmentWriter.ready_to_seal, "synced) < self.length:", "synced) < self.acked:"),
            Edit(SegmentWriter.propose_seal, "    assert self.acked == self.length\n", ""),
            Edit(
                SegmentWriter.propose_seal,
                "self.epoch, self.length, self.members",
                "self.epoch, self.acked, self.members",
            ),
            Edit(SegmentWriter.sealed, "    assert self.state != PROPOSED or not self.in_flight\n", ""),
        ),
    ),
    Bug(
        "tail-from-one-fence",
        14,
        "A recoverer takes the tail from the first copy that it fenced.",
        "BookKeeper issues 1067 and 2614 are about this quorum",
        True,
        (Edit(Recoveries._advance, "needed = quorums(len(recovery.frozen))[1]", "needed = 1"),),
    ),
    Bug(
        "publish-before-repair",
        15,
        "A recoverer publishes the tail before a quorum holds it.",
        "research note",
        True,
        (
            Edit(
                Recoveries._advance,
                "if len(recovery.holding()) >= quorums(len(recovery.members))[0]:",
                "if recovery.tail >= 0:",
            ),
        ),
    ),
    Bug(
        "restarted-writer-resumes",
        16,
        "A restarted node goes on with the segment it wrote, from what its own copy holds.",
        "research note",
        True,
        (
            Edit(Recoveries._writer_gone, "known.writer != writer", "known.writer[:2] != writer[:2]"),
            Edit(
                Writers.tick,
                "    for writer in self._writers.values():\n        writer.tick(now_ns)\n",
                "    from walrus.core.segment.messages import Append\n"
                "    registered = self._metadata.nodes.get(self._me[0])\n"
                "    for topic, segment in self._metadata.unsealed.items():\n"
                "        key = (topic, segment.number)\n"
                "        ours = segment.state == OPEN and segment.writer[:2] == self._me[:2]\n"
                "        if ours and key not in self._writers and registered.writer == self._me:\n"
                "            writer = self._writers[key] = SegmentWriter(self._out, topic, segment, self._limits)\n"
                "            writer.state = -1\n"
                "            self._cursors.own(*key)\n"
                '            self._out.send(self._me[0], Append(*key, segment.epoch, segment.version, 0, b""))\n'
                "    for writer in self._writers.values():\n        writer.tick(now_ns)\n",
            ),
            Edit(SegmentWriter.readable, "self.state != STOPPED", "STOPPED > self.state >= WRITING"),
            Edit(
                SegmentWriter.acknowledged,
                "    if message.status in (FENCED, CLOSED):\n",
                "    if self.state == -1 and message.status == ACCEPTED:\n"
                "        if sender != self.writer[:2]:\n"
                "            return\n"
                "        self.length = self.acked = message.length\n"
                "        self.state = DRAINING if self.full else WRITING\n"
                "    if message.status in (FENCED, CLOSED):\n",
            ),
        ),
    ),
    Bug(
        "rollover-unconditional",
        18,
        "A rollover seals whatever segment is the last, not the one it was proposed for.",
        "the first Walrus, whose rollovers named no segment",
        True,
        (
            Edit(
                Metadata._seal,
                "segment = self._expect(command.topic, command.segment, command.state, command.epoch)",
                'segment = self.topics[command.topic].last if command.topic in self.topics else "no such topic"',
            ),
        ),
    ),
    Bug(
        "one-copy-acknowledges",
        0,
        "A record is acknowledged once one copy holds it.",
        "Kafka with min.insync.replicas at 1",
        True,
        (
            Edit(
                SegmentWriter._advance,
                "held = held_by_quorum(self.members, quorums(len(self.members))[0], match)",
                "held = held_by_quorum(self.members, 1, match)",
            ),
        ),
    ),
    Bug(
        "refusal-counted",
        0,
        "A refusal for a gap counts as an acknowledgement of the length it tells.",
        "own: a clause of the design",
        True,
        (
            Edit(
                SegmentWriter.acknowledged,
                "news = message.status == ACCEPTED and target.accepted(message.length, now_ns)",
                "news = target.accepted(message.length, now_ns)",
            ),
        ),
    ),
    Bug(
        "no-joint-quorum",
        0,
        "While a set change is under way only the old set's quorum is asked for.",
        "BookKeeper issue 4812 has a relative of it",
        True,
        (
            Edit(
                SegmentWriter._advance,
                "    if self.joint and self.changing is not None:\n"
                "        held = min(held, held_by_quorum(self.changing, quorums(len(self.changing))[0], match))\n",
                "",
            ),
        ),
    ),
    Bug(
        "set-change-too-early",
        0,
        "A set change is proposed before a quorum of the new set holds what is acknowledged.",
        "own: a clause of the design",
        True,
        (
            Edit(
                SegmentWriter.propose_change,
                "    if held_by_quorum(self.changing, quorums(len(self.changing))[0], match) < self.acked:\n"
                "        return None\n",
                "",
            ),
        ),
    ),
    Bug(
        "set-change-given-up",
        0,
        "A writer takes a time-out of its set change for a refusal, and the change is committed later.",
        "own: a clause of the design",
        False,
        (
            Edit(
                Writers.tick,
                "        writer.tick(now_ns)\n        self._collect(writer)\n",
                "        writer.tick(now_ns)\n"
                "        if writer.joint and now_ns % 400_000_000 < 40_000_000:\n"
                "            writer._abandon_change()\n"
                "            self._settled(writer)\n"
                "        self._collect(writer)\n",
            ),
            _NO_ASSUMED_CHANGE,
        ),
    ),
    Bug(
        "set-change-unconditional",
        0,
        "A set change is applied whatever version the set has by then.",
        "own: a clause of the design",
        False,
        (
            Edit(
                Metadata._change_set,
                "    if segment.version != command.version:\n"
                '        where = f"{command.topic}:{command.segment}"\n'
                '        return f"replica set of {where} has version {segment.version}, not {command.version}"\n',
                "",
            ),
            _NO_ASSUMED_CHANGE,
        ),
    ),
    Bug(
        "old-stay-counted",
        0,
        "An acknowledgement from a copy's earlier stay in the set counts for the present one.",
        "own: found while Walrus was written",
        False,
        (Edit(SegmentWriter.acknowledged, " and message.version >= target.version", ""),),
    ),
    Bug(
        "moved-after-sent",
        0,
        "A writer that stops has what it had sent tried again elsewhere, although it may be there already.",
        "research note on the data path; a retry that doubles a write",
        False,
        (
            Edit(
                SegmentWriter.stop,
                "self.results.append((UNKNOWN, self.in_flight.popleft()[1]))",
                "self.results.append((MOVED, self.in_flight.popleft()[1]))",
            ),
        ),
    ),
    Bug(
        "timeout-called-refusal",
        0,
        "A PUT that was sent and not acknowledged in time is answered as refused.",
        "a classic of Jepsen's reports: an indeterminate write reported as failed",
        False,
        (
            Edit(
                SegmentWriter._expire,
                "self.results.append((UNKNOWN, origins))",
                "self.results.append((REFUSED, origins))",
            ),
        ),
    ),
    Bug(
        "spare-for-ever",
        0,
        "A member that a spare stands in for never comes back into the set, though the spare has died.",
        "own code, found by the simulator (seed 3000090 of 3 nodes)",
        False,
        (
            Edit(
                Recoveries._call_spares,
                "taken = {m[0] for m in recovery.members if m not in unfit}",
                "taken = {m[0] for m in recovery.frozen + recovery.members}",
            ),
        ),
    ),
    Bug(
        "sealed-set-change-unproved",
        0,
        "A sealed segment moves to another set before the new members hold its records.",
        "own: a clause of the design",
        False,
        (
            Edit(
                Upkeep._look_at,
                "self._ask(key, change, now_ns)",
                "self._ask(key, change, now_ns); self._propose(key, change, now_ns)",
            ),
        ),
    ),
)
