"""What must hold in every state of a segment scope, and from every state on.

Safety (:meth:`Invariants.check`, :meth:`Invariants.committed`):

- *one writer*: a segment is written by the process lifetime that the metadata names, and by no other;
- *replicas are prefixes*: no two copies hold different records at one offset, nor a copy and what was acknowledged, or
  counted, at any earlier time;
- *acknowledged records last*: they lie below the count of a SEALED segment, and a quorum of the set that the metadata
  names holds them durably (a copy whose file was lost counts as one that held what it held);
- *exactly once*: no record of the client is in the topic twice, and one that was answered OK is in it;
- *sealed counts* are stable, and a segment is never longer than its limit;
- *reads* show nothing that is not acknowledged or counted (GETs are checked when they are answered);
- *cursors* only move forward, and pass no record that was not handed to the client.

Liveness (:meth:`Invariants.healthy`): from every state a healthy one can be reached with no more faults. Healthy is:
the last segment is OPEN, its writer runs and waits for nothing, no PUT waits for its answer. Excused is a cluster that
has lost too much.
"""

from fuzz.explore.log import Logs
from fuzz.explore.rest import STORED, Rest, flat
from fuzz.explore.scope import Scope
from fuzz.explore.views import TOPIC, Face, Payloads
from walrus.core.metadata.commands import OPEN, SEALED
from walrus.core.metadata.state import Segment, Topic, quorums


class Invariants:
    """Of one scope. Each check returns "" or what is wrong."""

    def __init__(self, scope: Scope, logs: Logs) -> None:
        self._scope = scope
        self._logs = logs

    def check(self, faces: tuple[Face, ...], rest: Rest) -> str:
        """A state, by what is seen of its machines."""
        topic = self._logs.logs[rest.log].metadata.topics[TOPIC]
        for segment in topic.segments:
            acked = rest.acked[segment.number - 1] if segment.number <= len(rest.acked) else ()
            problem = (
                _one_writer(faces, segment)
                or _prefixes(faces, segment, acked)
                or _lasting(faces, segment, acked, rest)
                or _reads(faces, segment, acked)
            )
            if problem:
                return problem
            if segment.state == SEALED and segment.count > self._scope.segment_entries:
                return f"segment {segment.number} holds {segment.count} records, more than its limit"
        return self._once(rest)

    def _once(self, rest: Rest) -> str:
        records = flat(rest, self._logs.logs[rest.log].metadata)
        if len(set(records)) != len(records):
            return f"a record is in the topic twice: {_text(records)}"
        for number, ended in enumerate(rest.records):
            if ended == STORED and b"%c" % (97 + number) not in records:
                return f"record {chr(97 + number)} was answered OK and is not in the topic: {_text(records)}"
        return ""

    def committed(self, before: Rest, after: Rest) -> str:
        """One more command was committed."""
        old = self._logs.logs[before.log].metadata.topics[TOPIC]
        new = self._logs.logs[after.log].metadata.topics[TOPIC]
        for was, now in zip(old.segments, new.segments, strict=False):
            if was.state == SEALED and (now.state, now.count) != (SEALED, was.count):
                return f"the count of segment {was.number} was {was.count} and became {now.count}"
            if now.epoch < was.epoch or now.version < was.version:
                return f"epoch or set version of segment {was.number} fell"
        return _cursor(old, new, after)

    def healthy(self, faces: tuple[Face, ...], rest: Rest) -> bool:
        """The cluster serves, or has lost so much that it may be stuck on purpose."""
        topic = self._logs.logs[rest.log].metadata.topics[TOPIC]
        last = topic.last
        running = {face.member: face for face in faces if face.up}
        fit = [m for m in last.members if m in running and last.number not in running[m].lost]
        if len(fit) < max(quorums(len(last.members))):
            return True
        writer = running.get(last.writer[:2])
        if last.state != OPEN or writer is None or writer.incarnation != last.writer[2]:
            return False
        found = next((w for w in writer.writing if w.segment == last.number), None)
        if found is None or any(ended > 0 for ended in rest.records):
            return False
        return len(found.acked) == found.length < self._scope.segment_entries


def _one_writer(faces: tuple[Face, ...], segment: Segment) -> str:
    for face in faces:
        me = (*face.member, face.incarnation)
        if me != segment.writer and any(writing.segment == segment.number for writing in face.writing):
            return f"segment {segment.number} is written by {me}, not only by {segment.writer}"
    return ""


def _prefixes(faces: tuple[Face, ...], segment: Segment, acked: Payloads) -> str:
    longest, whose = acked, "acknowledged"
    for face in faces:
        held = face.holds(segment.number)
        shorter = min(len(held), len(longest))
        if held[:shorter] != longest[:shorter]:
            where = f"segment {segment.number}"
            return f"{where}: node {face.member[0]} holds {_text(held)}, but {whose} is {_text(longest)}"
        if len(held) > len(longest):
            longest, whose = held, f"on node {face.member[0]}"
    return ""


def _lasting(faces: tuple[Face, ...], segment: Segment, acked: Payloads, rest: Rest) -> str:
    needed = len(acked)
    if segment.state == SEALED:
        if segment.count < needed:
            return f"segment {segment.number} is SEALED at {segment.count}, but {_text(acked)} was acknowledged"
        needed = segment.count
    by_member = {face.member: face for face in faces}
    holding = 0
    for member in segment.members:
        held = len(by_member[member].holds(segment.number)) if member in by_member else 0
        lost = [length for who, number, length in rest.burnt if (who, number) == (member, segment.number)]
        holding += max((held, *lost)) >= needed
    if holding < quorums(len(segment.members))[0]:
        nodes = ", ".join(str(node) for node, _ in segment.members)
        return (
            f"segment {segment.number}: {needed} records count as stored ({_text(acked)}), but only {holding} of "
            f"nodes {nodes} hold them durably"
        )
    return ""


def _reads(faces: tuple[Face, ...], segment: Segment, acked: Payloads) -> str:
    for face in faces:
        for number, shown in face.shown:
            if number == segment.number and shown > len(acked):
                return (
                    f"segment {number}: node {face.member[0]} shows {shown} records to readers; acknowledged: "
                    f"{_text(acked)}"
                )
    return ""


def _cursor(old: Topic, new: Topic, after: Rest) -> str:
    if new.cursor < old.cursor:
        return f"the cursor went back from {old.cursor} to {new.cursor}"
    missing = [offset for offset in range(new.cursor) if offset not in after.handed]
    if missing:
        return f"the cursor stands at {new.cursor}, but record {missing[0]} was never handed out"
    return ""


def _text(records: Payloads) -> str:
    return "[" + " ".join(record.decode() for record in records) + "]"
