"""REGISTER, CREATE, SET and DELETE: topics made, set up and deleted by metadata commands.

SET and DELETE are answered once every node that may hold a lease has applied them (see
:class:`walrus.core.proposals.Proposals`), and this one too: who asks afterwards, whomever, meets no trace of what was.
"""

import msgspec

from walrus.core.clients import ClientSessions, Slot
from walrus.core.config import NodeConfig
from walrus.core.liveness import Liveness
from walrus.core.metadata.commands import ConfigureTopic, CreateTopic, RemoveTopic, encode
from walrus.core.metadata.placement import choose_members, choose_writer, placeable
from walrus.core.metadata.settings import DURABILITY, TopicSettings, settings_text
from walrus.core.metadata.state import Metadata, Topic
from walrus.core.proposals import Outcome, Proposals
from walrus.core.raft.raft import Raft
from walrus.core.wire import NO_LEADER, OUTCOME_UNKNOWN_PREFIX, SET, VERB_NAMES, Request, error, unknown_topic


class Creation(msgspec.Struct):
    """Who waits for a topic to be made. ``wanted``: with these settings (CREATE); None: with any (REGISTER).

    A CREATE that does not name a durability takes any, since what nodes give their topics may differ.
    """

    slot: Slot
    deadline_ns: int
    wanted: dict[str, int] | None


def _is_as_wanted(settings: TopicSettings, wanted: dict[str, int]) -> bool:
    return settings == TopicSettings(**{DURABILITY: settings.durability, **wanted})


class Waiting(msgspec.Struct):
    """A SET or DELETE under way; its ``index`` once it was decided."""

    slot: Slot
    request: Request
    born: int
    deadline_ns: int
    index: int = 0
    applied: bool = False


class Topics:
    """Answers through the sessions."""

    def __init__(
        self, config: NodeConfig, metadata: Metadata, raft: Raft, liveness: Liveness, sessions: ClientSessions,
        proposals: Proposals,
    ) -> None:  # fmt: skip
        self._config = config
        self._metadata = metadata
        self._raft = raft
        self._liveness = liveness
        self._sessions = sessions
        self._proposals = proposals
        self._creating: dict[str, list[Creation]] = {}
        self._proposed: dict[int, str] = {}  # rid -> topic
        self._changing: dict[int, Waiting] = {}  # by rid
        self.leaderless = 0  # refused because no leader was known in time

    @property
    def waiting(self) -> int:
        return len(self._creating) + len(self._changing)

    # --- REGISTER and CREATE ---

    def create(self, slot: Slot, name: str, wanted: dict[str, int] | None, now_ns: int) -> None:
        """Have the topic made unless it is there; ``wanted`` None: with whatever settings."""
        creation = Creation(slot, now_ns + self._config.rpc_timeout_ns, wanted)
        if name in self._metadata.topics:
            self._created(name, creation)
            return
        waiting = self._creating.setdefault(name, [])
        waiting.append(creation)
        if len(waiting) == 1:
            self._create(name, wanted)

    def _create(self, name: str, wanted: dict[str, int] | None) -> None:
        nodes = self._metadata.nodes
        voters = placeable(nodes, self._raft.committed_membership)
        live = self._liveness.live
        known = [n for n in voters if n in nodes]
        if not known:
            return
        after = known[(len(self._metadata.topics) - 1) % len(known)]
        writer = choose_writer(nodes, voters, live, after)
        if writer is not None:
            members = choose_members(nodes, voters, live, writer, self._config.target_replicas)
            born = self._metadata.deleted.get(name, 1)
            settings = TopicSettings(**{DURABILITY: self._config.durability, **(wanted or {})})
            command = CreateTopic(name, writer.writer, members, settings, born)
            self._proposed[self._proposals.submit(encode(command))] = name

    def _created(self, name: str, creation: Creation) -> None:
        """The topic is there, or was since this was asked."""
        found = self._metadata.topics.get(name)
        if creation.wanted is None or found is None or _is_as_wanted(found.settings, creation.wanted):
            self._sessions.answer(creation.slot, b"OK")
        else:
            text = f"topic {name} exists, with {settings_text(found.settings)}: change it with SET"
            self._sessions.answer(creation.slot, error(text))

    # --- SET and DELETE ---

    def change(self, slot: Slot, request: Request, topic: Topic, now_ns: int) -> None:
        """Change the settings of a topic, or delete it; it is known to exist."""
        deadline = now_ns + self._config.rpc_timeout_ns
        self._propose(Waiting(slot, request, topic.born, deadline), topic)

    def _propose(self, waiting: Waiting, topic: Topic) -> None:
        command: ConfigureTopic | RemoveTopic
        if waiting.request.verb == SET:
            settings = dict(waiting.request.settings)
            command = ConfigureTopic(topic.name, topic.born, topic.settings_version, **settings)
        else:
            command = RemoveTopic(topic.name, topic.born)
        waiting.index = 0
        self._changing[self._proposals.submit(encode(command))] = waiting

    def outcome(self, outcome: Outcome) -> bool:
        """A command was decided; False if it is not ours. What was so already is as good."""
        waiting = self._changing.get(outcome.rid)
        if waiting is not None:
            waiting.index, waiting.applied = outcome.index, outcome.applied
            return True
        name = self._proposed.pop(outcome.rid, None)
        if name is None:
            return False
        if name in self._metadata.topics:
            self._answer_created(name)
        elif outcome.applied:  # this node has not applied it yet
            creations = self._creating.get(name)
            if creations:
                self._sessions.answer(creations.pop(0).slot, b"OK")
        return True  # refused, and not known here: proposed again until this node has seen why

    def _answer_created(self, name: str) -> None:
        for creation in self._creating.pop(name, ()):
            self._created(name, creation)

    def applied(self) -> bool:
        """Answer what this node has applied; False if nothing is to be answered."""
        if not self._changing:
            return False
        index = self._raft.applied_index
        ready = [(rid, waiting) for rid, waiting in self._changing.items() if 0 < waiting.index <= index]
        for rid, waiting in ready:
            del self._changing[rid]
            self._finish(waiting)
        return bool(ready)

    def _finish(self, waiting: Waiting) -> None:
        """A SET may have been refused because it was applied before, or because another one came between."""
        request = waiting.request
        topic = self._metadata.topics.get(request.topic)
        if waiting.applied or request.verb != SET:
            self._sessions.answer(waiting.slot, b"OK")
        elif topic is None or topic.born != waiting.born:
            self._sessions.answer(waiting.slot, unknown_topic(request.topic))
        elif all(getattr(topic.settings, name) == value for name, value in request.settings):
            self._sessions.answer(waiting.slot, b"OK")
        else:
            self._propose(waiting, topic)

    def tick(self, now_ns: int) -> None:
        """Refuse what has waited too long for a leader; retry what could not be proposed."""
        for rid, waiting in list(self._changing.items()):
            if waiting.deadline_ns <= now_ns:
                del self._changing[rid]
                self._proposals.withdraw(rid)
                text = f"{VERB_NAMES[waiting.request.verb]} {waiting.request.topic}: ask again"
                self._sessions.answer(waiting.slot, OUTCOME_UNKNOWN_PREFIX + text.encode())
        if not self._creating:
            return
        proposed = set(self._proposed.values())
        for name, creations in list(self._creating.items()):
            while creations and creations[0].deadline_ns <= now_ns:
                self.leaderless += 1
                self._sessions.answer(creations.pop(0).slot, NO_LEADER)
            if name in self._metadata.topics:
                self._answer_created(name)
            elif not creations:
                del self._creating[name]
            elif name not in proposed:
                self._create(name, creations[0].wanted)
