"""One node: composes the parts, gives each event to the part that it concerns, carries results between them.

``handle`` takes one event and returns actions. Parts never call the node. On ``PollFinished``, which ends each turn of
the driver's loop, results are carried from part to part until nothing moves, and batches, replies and writes go out:
what a turn brought is worked on together.
"""

from collections.abc import Callable
from typing import Any

from walrus.core import events as ev
from walrus.core.actions import Action, Stop
from walrus.core.clients import ClientSessions, Slot
from walrus.core.codec import decode_message
from walrus.core.config import Deadline, NodeConfig
from walrus.core.metadata.state import Metadata
from walrus.core.outbox import Outbox
from walrus.core.pages import page
from walrus.core.raft.raft import Raft
from walrus.core.raft.state import EntriesLost
from walrus.core.rng import Generator
from walrus.core.running import Running
from walrus.core.segment.replica import Key, Replica
from walrus.core.space import Space
from walrus.core.startup import Startup
from walrus.core.storage.appender import Tokens
from walrus.core.storage.journal import JOURNAL_PATH
from walrus.core.storage.recordlog import RecoveryError
from walrus.core.wallclock import WallClock
from walrus.core.wire import HTTP, Request


class Node:
    """STARTING (recovery; clients wait) -> RUNNING -> stopped. All times are integer nanoseconds, monotonic."""

    def __init__(self, config: NodeConfig, rng: Generator, now_ns: int) -> None:
        self.config = config
        self._rng = rng
        self._now_ns = now_ns
        self._wall_ns = 0
        self._wall = WallClock()
        self.out = Outbox(config.node_id)
        self.sessions = ClientSessions(config)
        self._tokens = Tokens()
        self.space = Space(self.out, config, self._tokens)
        self._files: dict[str, int] = {}
        self._boot_id = ""
        self._startup: Startup | None = None
        self.running: Running | None = None
        # For checkers and tests; None while starting.
        self.raft: Raft | None = None
        self.metadata: Metadata | None = None  # the replicated state as this node has applied it
        self.replicas: dict[Key, Replica] | None = None  # the copies on this disk
        self.stopped = False
        self._driver: ev.DriverMeasured | None = None
        self._early: list[tuple[Slot, Request]] = []  # requests that came before recovery was done
        self._handlers: dict[type, Callable[[Any], None]] = {
            ev.Started: self._started,
            ev.ClientConnected: self._client_connected,
            ev.ClientDataReceived: self._client_data,
            ev.ClientDisconnected: self._client_disconnected,
            ev.MessageReceived: self._message,
            ev.PeerDisconnected: self._peer_disconnected,
            ev.WriteCompleted: self._write_completed,
            ev.WriteFailed: self._write_failed,
            ev.SpaceRanOut: self._space_ran_out,
            ev.ReadCompleted: self._read_completed,
            ev.ReadFailed: self._read_failed,
            ev.TimerFired: self._timer_fired,
            ev.PollFinished: self._poll_finished,
            ev.ShutdownRequested: self._shutdown_requested,
            ev.DriverMeasured: self._driver_measured,
        }

    def handle(self, event: ev.Event, now_ns: int) -> list[Action]:
        """Take one event; returns what to do."""
        if self.stopped:
            return []
        self._now_ns = now_ns
        running = self.running
        if running is not None and now_ns > running.stalled_after_ns:
            running.notice_stall(now_ns)
        self._handlers[type(event)](event)
        return self.out.drain()

    def next_deadline(self) -> Deadline | None:
        """The next moment at which ``TimerFired`` is wanted, and what for."""
        if self.stopped:
            return None
        best = self.running.deadline() if self.running is not None else None
        room_ns = self.space.next_ns
        if room_ns is not None and (best is None or room_ns <= best.at_ns):
            best = Deadline(room_ns, "room")
        sessions_ns = self.sessions.deadline_ns()
        if sessions_ns is not None and (best is None or sessions_ns <= best.at_ns):
            return Deadline(sessions_ns, "half frame")
        return best

    def _stop(self, reason: str, exit_code: int) -> None:
        self.out.actions += self.sessions.drain()
        self.out.add(Stop(reason, exit_code))
        self.stopped = True

    # --- starting ---

    def _started(self, event: ev.Started) -> None:
        self._wall_ns = event.wall_ns
        self._wall.told(event.wall_ns, self._now_ns)
        self._files = dict(event.files)
        self._boot_id = event.boot_id
        try:
            self._startup = Startup(self.out, self._tokens, self._rng, self._files, self.config.metadata_reserve_bytes)
        except RecoveryError as error:
            self._stop(str(error), 1)

    def _go_on_starting(self, step: Callable[[Startup], None]) -> None:
        assert self._startup is not None
        try:
            step(self._startup)
        except RecoveryError as error:
            self._stop(str(error), 1)
            return
        if self._startup.ready is not None:
            ready, self._startup = self._startup.ready, None
            running = Running(
                self.config,
                self._rng,
                self.out,
                self._tokens,
                self.sessions,
                ready,
                self._files,
                self._wall,
                self._boot_id,
                self._now_ns,
            )
            if self.space.full:
                running.has_no_room()
            refusal = running.begin(self._now_ns)
            if refusal:
                self._stop(refusal, 1)
                return
            running.driver = self._driver
            self.running = running
            self.raft, self.metadata, self.replicas = running.raft, running.metadata, running.store.replicas
            early, self._early = self._early, []
            for slot, request in early:
                running.service.request(slot, request, self._now_ns)

    # --- clients ---

    def _client_connected(self, event: ev.ClientConnected) -> None:
        self.sessions.connected(event.conn, self._now_ns)

    def _client_data(self, event: ev.ClientDataReceived) -> None:
        self._wall_ns = event.wall_ns
        self._wall.told(event.wall_ns, self._now_ns)
        requests = self.sessions.received(event.conn, event.data, self._now_ns)
        if self.running is None:
            self._not_running(requests)
            return
        self.running.wall_ns = event.wall_ns
        handle = self.running.service.request
        for slot, request in requests:
            handle(slot, request, self._now_ns)

    def _not_running(self, requests: list[tuple[Slot, Request]]) -> None:
        """Requests wait until recovery is done; who asks how the node is gets an answer at once."""
        for slot, request in requests:
            if request.verb == HTTP:
                found = page(request.topic, request.payload, None, self._now_ns)
                self.sessions.answer_http(slot, found.status, found.content_type, found.body)
            else:
                self._early.append((slot, request))

    def _client_disconnected(self, event: ev.ClientDisconnected) -> None:
        self.sessions.disconnected(event.conn)

    # --- peers ---

    def _message(self, event: ev.MessageReceived) -> None:
        if self.running is None:
            return
        decoded = decode_message(event.data)
        if decoded is None:
            self.running.note_junk()
        else:
            envelope, message = decoded
            try:
                self.running.received(envelope, message, self._now_ns)
            except EntriesLost as error:
                node = self.config.node_id
                self._stop(f"{JOURNAL_PATH}: {error}; restore this file or replace node {node} with an empty one", 1)

    def _peer_disconnected(self, event: ev.PeerDisconnected) -> None:
        if self.running is not None:
            self.running.disconnected(event.node, self._now_ns)

    # --- disk ---

    def _write_completed(self, event: ev.WriteCompleted) -> None:
        if self.space.full and self.space.completed(event.token):
            if not self.space.full and self.running is not None:
                self.running.has_room(self._now_ns)
        elif self.running is None:
            self._go_on_starting(lambda startup: startup.write_completed(event.token))
        else:
            self.running.write_completed(event.token, self._now_ns)

    def _write_failed(self, event: ev.WriteFailed) -> None:
        # What reached the disk is unknown and a second sync would lie: stop, let recovery read what is there.
        self.out.log("error", f"Cannot write {event.path}: {event.error}; stopping, because what is on disk is unknown")
        self._stop(f"write to {event.path} failed: {event.error}", 1)

    def _space_ran_out(self, event: ev.SpaceRanOut) -> None:
        self.space.ran_out(event, self._now_ns)
        if self.running is None or not self.running.space_ran_out(event.change):
            self.space.wait(event.change)

    def _read_completed(self, event: ev.ReadCompleted) -> None:
        if self.running is None:
            self._go_on_starting(lambda startup: startup.read_completed(event.token, event.data))
            return
        try:
            self.running.read_completed(event.token, event.data)
        except RecoveryError as error:  # a copy that this version must not touch
            self._stop(str(error), 1)

    def _read_failed(self, event: ev.ReadFailed) -> None:
        if self.running is None:
            self._stop(f"cannot read {event.path}: {event.error}", 1)
        else:
            self.running.read_failed(event.token, event.error)

    # --- time ---

    def _timer_fired(self, _: ev.TimerFired) -> None:
        self.sessions.tick(self._now_ns)
        self.space.tick(self._now_ns)
        if self.running is not None:
            self.running.tick(self._now_ns)

    def _poll_finished(self, _: ev.PollFinished) -> None:
        running = self.running
        if running is None:
            self.out.actions += self.sessions.drain()
            return
        running.flush(self._now_ns, self._wall_ns)
        self.out.actions += self.sessions.drain()
        if why := running.must_stop():
            self._stop(why, 1)
        elif running.leaving.done:
            if not running.leaving.complete:
                self.out.log("warn", "Stopping before everything was handed over: no quorum answered in time")
            self._stop("shut down cleanly", 0)

    def _shutdown_requested(self, _: ev.ShutdownRequested) -> None:
        if self.running is None:
            self._stop("shut down before it had started", 0)
        else:
            self.running.leave(self._now_ns)

    def _driver_measured(self, event: ev.DriverMeasured) -> None:
        self._driver = event
        if self.running is not None:
            self.running.driver = event
