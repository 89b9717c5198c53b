"""The committed log that all nodes of a scope share, and the cluster state that it amounts to."""

import pickle
from typing import Final, NamedTuple

from fuzz.explore.machine import storage_of
from fuzz.explore.scope import Scope
from fuzz.explore.views import TOPIC
from walrus.core.metadata.commands import AnyCommand, CommitCursors, CreateTopic, RegisterNode, decode, encode
from walrus.core.metadata.state import Metadata
from walrus.core.peer import ENTRY_CONFIG, ENTRY_NORMAL, Entry
from walrus.core.raft.membership import MemberInfo, Membership

REFUSED: Final = -1


class Log(NamedTuple):
    """A committed log: its entries beyond those that every scope begins with, and what they amount to."""

    entries: tuple[Entry, ...]
    metadata: Metadata


class Logs:
    """All logs of an exploration, by number; number 0 is the empty one."""

    def __init__(self, base: list[Entry]) -> None:
        self.base = base
        metadata = Metadata()
        for entry in base:
            if entry.kind == ENTRY_NORMAL:
                refused = metadata.apply(decode(entry.data))
                assert not refused, refused
        self.logs = [Log((), metadata)]
        self._known: dict[tuple[Entry, ...], int] = {(): 0}
        self._next: dict[tuple[int, bytes, int], int] = {}

    def commit(self, number: int, command: bytes, term: int) -> int:
        """The log with one more command, or REFUSED: then it would be for ever, since states only move on."""
        key = (number, command, term)
        found = self._next.get(key)
        if found is None:
            found = self._next[key] = self._commit(number, command, term)
        return found

    def command(self, number: int) -> AnyCommand:
        """The last command of a log."""
        return decode(self.logs[number].entries[-1].data)

    def _commit(self, number: int, data: bytes, term: int) -> int:
        log = self.logs[number]
        command = decode(data)
        metadata: Metadata = pickle.loads(pickle.dumps(log.metadata))
        metadata.changes.clear()
        if metadata.apply(command) or _said_nothing_new(command, log.metadata, metadata):
            return REFUSED
        entry = Entry(len(self.base) + len(log.entries) + 1, term, ENTRY_NORMAL, data)
        entries = (*log.entries, entry)
        found = self._known.get(entries)
        if found is None:
            found = self._known[entries] = len(self.logs)
            self.logs.append(Log(entries, metadata))
        return found


def _said_nothing_new(command: AnyCommand, before: Metadata, after: Metadata) -> bool:
    """Applying it has changed nothing, and would not after anything else that is committed later."""
    if isinstance(command, RegisterNode):
        return before.nodes.get(command.node) == after.nodes.get(command.node)
    if isinstance(command, CommitCursors):
        return all(before.topics[name].cursor == topic.cursor for name, topic in after.topics.items())
    return False


def base_of(scope: Scope) -> list[Entry]:
    """What every scope begins with: the group, its nodes, and the topic."""
    group = Membership(tuple(MemberInfo(n, storage_of(n), f"node{n}:1", voter=True) for n in scope.nodes))
    commands = [encode(RegisterNode(n, storage_of(n), 1, f"node{n}:1", "")) for n in scope.nodes]
    members = tuple((n, storage_of(n)) for n in scope.members)
    commands.append(encode(CreateTopic(TOPIC, (scope.writer, storage_of(scope.writer), 1), members)))
    entries = [Entry(1, 1, ENTRY_CONFIG, group.encode())]
    return entries + [Entry(index, 1, ENTRY_NORMAL, command) for index, command in enumerate(commands, start=2)]
