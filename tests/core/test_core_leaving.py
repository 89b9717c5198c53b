"""A clean shutdown: what is handed over before what, and when it is enough."""

from types import SimpleNamespace

from segment_fixtures import settings

from walrus.core.config import MS
from walrus.core.leaving import Leaving
from walrus.core.raft.output import Role


class Shutdown:
    """Node 1 shuts down; the test says how far its segments, requests, cursors and leadership are."""

    def __init__(self, *, live: tuple[int, ...] = (1, 2, 3), role: Role = Role.FOLLOWER, lease: bool = True) -> None:
        self.log: list[str] = []
        self.writers = SimpleNamespace(leaving=False, count=0)
        self.cursors = SimpleNamespace(all_committed=True, commit=lambda: self.log.append("commit cursors"))
        self.raft = SimpleNamespace(
            node_id=1,
            role=role,
            leader=1 if role is Role.LEADER else 2,
            committed_membership=SimpleNamespace(voters=(1, 2, 3)),
            transfer_leadership=self.transfer,
        )
        self.requests = 0
        self.missing = 0
        self.unsynced = 0
        self.has_successor = True
        self.leaving = Leaving(
            settings(1, shutdown_timeout_ns=1_000 * MS),
            self.raft,  # type: ignore[arg-type]
            SimpleNamespace(valid=lambda now_ns: lease),  # type: ignore[arg-type]
            SimpleNamespace(others=lambda: live[1:], ask=lambda: not self.missing),  # type: ignore[arg-type]
            self.writers,  # type: ignore[arg-type]
            self.cursors,  # type: ignore[arg-type]
            SimpleNamespace(stop_reading=lambda: self.log.append("stop reading")),  # type: ignore[arg-type]
            lambda: self.requests,
            self.come_to_rest,
        )

    def come_to_rest(self) -> bool:
        self.log.append("sync")
        return not self.unsynced

    def transfer(self, now_ns: int) -> bool:
        self.log.append("transfer leadership")
        return self.has_successor

    def begin(self) -> "Shutdown":
        self.leaving.begin(0)
        return self

    def tick(self, now_ms: int = 1) -> bool:
        """Time passes; True once the process may end."""
        self.leaving.tick(now_ms * MS)
        return self.leaving.done


def test_nothing_ends_before_it_was_asked_to() -> None:
    shutdown = Shutdown()
    assert not shutdown.tick(5_000)
    assert (shutdown.log, shutdown.writers.leaving) == ([], False)


def test_segments_go_first_while_clients_are_still_heard() -> None:
    shutdown = Shutdown().begin()
    shutdown.writers.count = 1
    assert shutdown.writers.leaving
    assert not shutdown.tick()
    assert shutdown.log == []
    shutdown.writers.count = 0
    assert shutdown.tick()
    assert shutdown.log == ["stop reading", "sync"]


def test_the_others_commit_their_cursors_first() -> None:
    shutdown = Shutdown().begin()
    shutdown.missing = 1
    assert not shutdown.tick()
    assert not shutdown.leaving.complete
    shutdown.missing = 0
    assert shutdown.tick()
    assert shutdown.leaving.complete


def test_requests_under_way_are_answered_before_the_end() -> None:
    shutdown = Shutdown().begin()
    shutdown.requests = 1
    assert not shutdown.tick()
    shutdown.requests = 0
    assert shutdown.tick()


def test_a_leader_hands_over_last_and_ends_once_another_leads() -> None:
    shutdown = Shutdown(role=Role.LEADER).begin()
    assert not shutdown.tick()
    assert shutdown.log == ["stop reading", "transfer leadership"]
    assert not shutdown.tick()
    shutdown.raft.role, shutdown.raft.leader = Role.FOLLOWER, 0
    assert not shutdown.tick()
    shutdown.raft.leader = 3
    assert shutdown.tick()
    assert shutdown.log == ["stop reading", "transfer leadership", "sync"]


def test_a_leader_without_a_successor_tries_again_until_the_time_is_over() -> None:
    shutdown = Shutdown(role=Role.LEADER).begin()
    shutdown.has_successor = False
    assert not shutdown.tick()
    assert not shutdown.tick()
    assert shutdown.log.count("transfer leadership") == 2
    assert not shutdown.tick(999)
    assert shutdown.tick(1_000)


def test_the_last_live_node_keeps_its_segments_and_commits_its_cursors() -> None:
    shutdown = Shutdown(live=(1,), role=Role.LEADER).begin()
    shutdown.writers.count = 2
    shutdown.cursors.all_committed = False
    assert not shutdown.writers.leaving
    assert not shutdown.tick()
    shutdown.cursors.all_committed = True
    assert shutdown.tick()
    assert shutdown.log == ["stop reading", "commit cursors"] * 2 + ["sync"]


def test_a_shutdown_is_over_at_its_deadline_whatever_is_left() -> None:
    shutdown = Shutdown().begin()
    shutdown.writers.count = 3
    assert not shutdown.tick(999)
    assert shutdown.tick(1_000)


def test_a_second_request_does_not_move_the_deadline() -> None:
    shutdown = Shutdown().begin()
    shutdown.writers.count = 3
    shutdown.leaving.begin(900 * MS)
    assert shutdown.tick(1_000)


def test_a_node_without_a_quorum_behind_it_does_not_wait_for_one() -> None:
    shutdown = Shutdown(lease=False).begin()
    shutdown.writers.count = 3
    assert not shutdown.tick(1)
    assert shutdown.tick(999)


def test_a_node_ends_once_its_copies_are_synced_or_that_takes_too_long() -> None:
    shutdown = Shutdown().begin()
    shutdown.unsynced = 1
    assert not shutdown.tick(10)
    assert not shutdown.tick(20)
    shutdown.unsynced = 0
    assert shutdown.tick(30)
    assert shutdown.leaving.complete
    assert shutdown.log == ["stop reading", "sync", "sync", "sync"]
    shutdown = Shutdown().begin()
    shutdown.unsynced = 1
    assert not shutdown.tick(10)
    assert not shutdown.tick(409)
    assert shutdown.tick(410)
