"""One node's history, taken from either world, and the two ways in which it is lived through again.

The seam is the constructors: the reactor takes its node, clock and selector as arguments, the dispatcher its storage,
peers and clients, so the runtime's loop and driver run here as they are shipped, on a real data directory.
"""

import copy
import selectors
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest

from walrus.core.actions import Action, Delete, Read, Rename, Reply, Send, Truncate, Write
from walrus.core.config import NodeConfig
from walrus.core.events import (
    Event,
    PollFinished,
    ReadCompleted,
    ReadFailed,
    Started,
    TimerFired,
    WriteCompleted,
    WriteFailed,
)
from walrus.core.node import Node
from walrus.io.dispatch import Dispatcher
from walrus.io.reactor import Reactor
from walrus.io.source import FIRST, READ
from walrus.io.storage import StorageAction, ThreadedStorage
from walrus.io.storage_mmap import MappedFiles
from walrus.sim.cluster import Cluster
from walrus.sim.disk import Change, Disk
from walrus.sim.host import Host
from walrus.sim.options import Options
from walrus.sim.rng import Rng
from walrus.sim.runner import run_seed
from walrus.sim.trace import Trace
from walrus.sim.world import World

PATIENCE_S: Final = 60.0
STORAGE: Final = (Write, Truncate, Delete, Rename, Read)
OF_THE_DISK: Final = (WriteCompleted, ReadCompleted)
FAILURES: Final = (WriteFailed, ReadFailed)
OWN_EVENTS: Final = (TimerFired, PollFinished)  # those that a driver makes by itself

Handled = tuple[int, Event, list[Action]]
"""The node's clock, what happened, what it answered with."""


@dataclass
class Life:
    """One process lifetime. ``rng``: as it was given to the node; ``files``: the disk when it began."""

    config: NodeConfig
    rng: Any
    born_ns: int
    files: dict[str, bytes]
    history: list[Handled] = field(default_factory=list)
    let_out: list[Action] = field(default_factory=list)  # messages and replies, when the driver let them go
    at_rest: dict[str, bytes] | None = None  # the disk at the end, where nothing was under way

    def turns(self) -> list[list[Handled]]:
        """The history, cut behind each PollFinished; the last turn may lack it, where the node stopped itself."""
        found: list[list[Handled]] = [[]]
        for handled in self.history:
            found[-1].append(handled)
            if isinstance(handled[1], PollFinished):
                found.append([])
        return found if found[-1] else found[:-1]

    @property
    def gathered_at_birth(self) -> bool:
        """Something else came in the turn of Started. The real loop has no such turn: it begins before it looks."""
        return len(self.turns()[0]) > 2

    def fresh_node(self) -> Node:
        """The node as it was born."""
        return Node(self.config, copy.deepcopy(self.rng), self.born_ns)


class RecordedNode(Node):
    """The shipped node, whose history is kept in ``life``."""

    def __init__(self, life: Life) -> None:
        super().__init__(life.config, copy.deepcopy(life.rng), life.born_ns)
        self.life = life

    def handle(self, event: Event, now_ns: int) -> list[Action]:
        """What the node does."""
        actions = super().handle(event, now_ns)
        self.life.history.append((now_ns, event, list(actions)))
        return actions


# --- lives in the simulator ---


def simulated(seed: int, options: Options) -> list[Life]:
    """All process lifetimes of a run, in the order of their births. The last of each node has the disk at the end."""
    lives: list[Life] = []
    clusters: list[Cluster] = []

    def factory(config: NodeConfig, rng: Rng, now_ns: int) -> RecordedNode:
        files = clusters[0].host(config.node_id).disk.files
        lives.append(Life(config, rng, now_ns, {path: bytes(data) for path, data in files.items()}))
        return RecordedNode(lives[-1])

    with pytest.MonkeyPatch.context() as patch:
        for name in ("_send", "_reply"):
            patch.setattr(Host, name, _noting(getattr(Host, name)))
        result = run_seed(seed, options, factory, watch=lambda cluster, _: clusters.append(cluster))
    assert result.violation == ""
    for host in clusters[0].hosts:
        node: Any = host.node
        if node is not None and not host.disk.busy:
            node.life.at_rest = {path: bytes(data) for path, data in sorted(host.disk.files.items())}
    return lives


def _noting(let_out: Any) -> Any:
    def note(host: Host, action: Action) -> None:
        node: Any = host.node
        sent = Send(action.to, action.data, 0, action.urgent) if isinstance(action, Send) else action
        node.life.let_out.append(sent)
        let_out(host, action)

    return note


# --- a life, lived through again in the real runtime ---


class EndOfStory(Exception):
    """The recorded life ends here, by a crash or with the run."""


class RecordedFiles:
    """A real storage driver whose completions are handed out when the story has them."""

    def __init__(self, root: Path) -> None:
        self._storage = ThreadedStorage(MappedFiles(root))
        self._asked: set[int] = set()  # membership only
        self._done: dict[int, Event] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._storage.fileno(), READ)

    def submit(self, actions: Sequence[StorageAction]) -> None:
        """Begin at once, on real files."""
        self._asked.update(action.token for action in actions)
        self._storage.submit(actions)

    def take(self, token: int) -> Event:
        """The completion with this token, once the disk has come to it."""
        assert token in self._asked, f"the node never asked for {token}"
        end = time.monotonic() + PATIENCE_S
        while token not in self._done:
            assert time.monotonic() < end, f"the real disk never completes {token}"
            if self._selector.select(1.0):
                for event in self._storage.on_ready(READ):
                    self._done[event.token] = event  # type: ignore[attr-defined]
        return self._done.pop(token)

    def close(self) -> None:
        """Finish, and let go of the files."""
        self._storage.close()
        self._selector.close()


class Story:
    """The reactor's clock, its selector and the one source in it: turn by turn what the recorded life was given."""

    order = FIRST

    def __init__(self, life: Life, files: RecordedFiles) -> None:
        self.time_ns = life.history[0][0]
        self._turns = life.turns()[1:]  # the first is the reactor's own
        self._turn: list[Handled] = []
        self._files = files
        self.turn_is_open = False

    def now_ns(self) -> int:
        """All of a turn happens at one moment, as in the simulator."""
        return self.time_ns

    def wall_ns(self) -> int:
        """Events bring their own."""
        raise AssertionError("nobody asks for the time of day here")

    def select(self, _timeout_s: float) -> list[Any]:
        """The next turn begins; a second look within a turn, before its timer fires, finds nothing."""
        if self.turn_is_open:
            return []
        if not self._turns:
            raise EndOfStory
        self._turn = self._turns.pop(0)
        self.time_ns = self._turn[0][0]
        self.turn_is_open = True
        return [(SimpleNamespace(data=self), READ)]

    def on_ready(self, _mask: int) -> list[Event]:
        """What happened, without what the reactor has to find out by itself; completions come from the real disk."""
        events: list[Event] = []
        for _, event, _ in self._turn:
            if isinstance(event, OF_THE_DISK):
                events.append(self._files.take(event.token))
            elif not isinstance(event, OWN_EVENTS):
                events.append(event)
        return events


class Outlets:
    """What the dispatcher lets out to peers and clients."""

    def __init__(self) -> None:
        self.let_out: list[Action] = []

    def send(self, to: int, data: bytes, urgent: bool) -> None:
        """A message, whatever it had to wait for."""
        self.let_out.append(Send(to, data, 0, urgent))

    def reply(self, action: Reply) -> None:
        """Replies to a client."""
        self.let_out.append(action)

    def send_to_address(self, _address: str, _data: bytes) -> None:
        """Among the actions."""

    def set_address(self, _node: int, _address: str) -> None:
        """Among the actions."""

    def forget(self, _node: int) -> None:
        """Among the actions."""

    def pause(self, _conn: int) -> None:
        """Among the actions."""

    def resume(self, _conn: int) -> None:
        """Among the actions."""

    def flush(self) -> None:
        """The end of a turn."""

    def has_unsent(self) -> bool:
        """Everything is taken at once."""
        return False

    def line(self, _level: str, _text: str) -> None:
        """Among the actions."""

    log = line


class _TurnNode(RecordedNode):
    """Tells the story when its turn is over."""

    def __init__(self, life: Life, story: Story) -> None:
        super().__init__(life)
        self._story = story

    def handle(self, event: Event, now_ns: int) -> list[Action]:
        """What the node does."""
        if isinstance(event, PollFinished):
            self._story.turn_is_open = False
        return super().handle(event, now_ns)


def lived_in_the_runtime(life: Life, root: Path) -> Life:
    """Give a recorded life to a fresh node in the real loop, with real files below ``root``; returns what comes of it.

    Nothing is taken from the record but what came from outside: bytes of clients and peers, and when the disk was done.
    """
    for path, data in life.files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    for folder in ("user_data", "raft_meta"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    again = Life(life.config, life.rng, life.born_ns, life.files)
    files, outlets = RecordedFiles(root), Outlets()
    story = Story(life, files)
    world: Any = story  # the reactor's clock and selector
    driver: Any = outlets
    storage: Any = files
    first = life.history[0][1]
    assert isinstance(first, Started)
    reactor = Reactor(_TurnNode(again, story), world, Dispatcher(storage, driver, driver, driver), (), world)
    try:
        reactor.run(first)
    except EndOfStory:
        pass
    finally:
        files.close()
    again.let_out = outlets.let_out
    again.at_rest = files_in(root)
    return again


def files_in(root: Path) -> dict[str, bytes]:
    """Every file below ``root``, without the zeros at its end: real files are longer than what was written to them."""
    return {
        str(path.relative_to(root)): path.read_bytes().rstrip(b"\0")
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


# --- a life, lived through again in the manner of the simulator ---


def lived_in_the_simulator(life: Life) -> list[Handled]:
    """Give a recorded life to a fresh node whose files are on a simulated disk; returns what comes of it."""
    world = World(1, Trace(), 1 << 30)
    done: dict[int, Event] = {}

    def notify(event: Event) -> None:
        done[event.token] = event  # type: ignore[attr-defined]

    disk = Disk(world, Rng(1), notify, (1, 1_000))
    disk.files.update({path: bytearray(data) for path, data in life.files.items()})
    node, found = life.fresh_node(), []
    asked: dict[int, Read | Change] = {}  # by token: each is done when the record says so, in that order
    for now_ns, recorded, _ in life.history:
        event = recorded
        if isinstance(recorded, OF_THE_DISK):
            action = asked.pop(recorded.token)
            if isinstance(action, Read):
                disk.read(action)
            else:
                disk.change(action)
            world.run_until(world.now_ns + 1_000)
            event = done.pop(recorded.token)
        actions = node.handle(event, now_ns)
        found.append((now_ns, event, actions))
        asked.update({action.token: action for action in actions if isinstance(action, Read | Change)})
    return found
