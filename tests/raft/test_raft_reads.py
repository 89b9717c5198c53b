"""Linearizable reads and what a quorum's answer confirms (dissertation 6.4)."""

import random

import pytest
from raft_alone import config_entry, elect, hear, raft
from raft_network import cluster, settings, storage_of

from walrus.core.config import MS
from walrus.core.peer import AppendReply, Heartbeat, HeartbeatReply
from walrus.core.raft.output import HardState, RaftOutput
from walrus.core.raft.raft import Raft


def committed_leader() -> Raft:
    """Node 1 leading nodes 2 and 3 in term 2, entry 2 of its own term committed, rounds 1 and 2 sent at time 0."""
    machine = raft(1)
    elect(machine)
    hear(machine, 2, AppendReply(2, True, 2, 0, 0, 0))
    return machine


def beats(out: RaftOutput) -> list[tuple[int, int, int]]:
    """(to, seq, confirmed_seq) of the heartbeats in ``out``."""
    return [
        (to, message.seq, message.confirmed_seq) for to, message, _ in out.messages if isinstance(message, Heartbeat)
    ]


def test_6_4_a_read_is_confirmed_by_a_round_that_began_after_it() -> None:
    """An answer to an older round proves nothing about the time of the read."""
    machine = committed_leader()
    assert machine.request_read(7, 10 * MS)
    assert beats(machine.drain()) == [(2, 3, 0), (3, 3, 0)]
    assert hear(machine, 3, HeartbeatReply(2, 2, 0), 11 * MS).reads == []
    assert hear(machine, 3, HeartbeatReply(2, 3, 0), 12 * MS).reads == [(7, 2)]


def test_6_4_a_repeated_answer_confirms_no_later_read() -> None:
    """Nor does one from a learner or from the same voter twice."""
    machine = raft(1, voters=(1, 2, 3, 4, 5), learners=(6,))
    elect(machine)
    for peer in (2, 3):
        hear(machine, peer, AppendReply(2, True, 2, 0, 0, 0))
    machine.request_read(7, 0)
    machine.drain()
    for peer in (2, 2, 6):
        assert hear(machine, peer, HeartbeatReply(2, 3, 0)).reads == []
    assert hear(machine, 5, HeartbeatReply(2, 3, 0)).reads == [(7, 2)]


def test_6_4_reads_wait_until_the_leader_has_committed_in_its_term() -> None:
    """Before that its commit index may lie behind what was acknowledged to clients."""
    machine = raft(1, terms=(1, 1))
    elect(machine)
    assert machine.request_read(7, 0)
    assert beats(machine.drain()) == []
    machine.tick(40 * MS)
    machine.drain()
    assert hear(machine, 2, HeartbeatReply(2, 2, 0)).reads == []
    out = hear(machine, 2, AppendReply(2, True, 3, 0, 0, 0), 41 * MS)
    assert beats(out) == [(2, 3, 0), (3, 3, 0)]
    assert hear(machine, 2, HeartbeatReply(2, 3, 0)).reads == [(7, 3)]


def test_6_4_reads_that_come_during_a_round_share_the_next_one() -> None:
    """However many they are, there is one round for reads under way."""
    machine = committed_leader()
    machine.request_read(1, 0)
    machine.request_read(2, 0)
    assert len(beats(machine.drain())) == 2
    for ticket in (3, 4, 5):
        machine.request_read(ticket, 0)
        assert beats(machine.drain()) == []
    out = hear(machine, 2, HeartbeatReply(2, 3, 0))
    assert out.reads == [(1, 2), (2, 2)]
    assert len(beats(out)) == 2
    assert hear(machine, 2, HeartbeatReply(2, 4, 0)).reads == [(3, 2), (4, 2), (5, 2)]


def test_6_4_a_single_voter_confirms_its_reads_itself() -> None:
    """It is its own quorum."""
    network = cluster(1)
    machine = network.raft(1)
    assert machine.request_read(1, network.now_ns)
    assert machine.drain().reads == [(1, 3)]


def test_6_4_reads_are_refused_by_followers_and_fail_with_the_leadership() -> None:
    """Each ticket ends once."""
    assert not raft(2).request_read(1, 0)
    machine = committed_leader()
    machine.request_read(1, 0)
    machine.drain()
    machine.request_read(2, 0)
    assert hear(machine, 3, HeartbeatReply(9, 0, 0)).failed_reads == [1, 2]
    assert not machine.request_read(3, 0)


def test_a_cut_off_leader_confirms_no_read() -> None:
    """While it still believes to lead, the others elect and commit without it."""
    network = cluster(3)
    old = network.raft(1)
    network.isolate(1)
    assert old.request_read(1, network.now_ns)
    network.flush(1)
    network.run_for(2_000 * MS)
    assert network.leader() is not old
    assert all(ticket != 1 or index == 0 for ticket, index in network.checks.reads_done.items())


def test_a_quorum_confirms_for_one_lease_from_when_the_round_was_sent() -> None:
    """``confirmed_seq`` is each peer's newest answer while the leader is confirmed itself, otherwise 0."""
    machine = committed_leader()
    lease_ns = settings(1).lease_ns
    assert machine.quorum_contact(30 * MS) < 0
    out = hear(machine, 2, HeartbeatReply(2, 1, 2), 30 * MS)
    assert out.heartbeat_acks == [(2, 1)]
    assert machine.quorum_contact(30 * MS) == 0
    machine.tick(lease_ns - 1)
    assert beats(machine.drain()) == [(2, 3, 1), (3, 3, 0)]
    machine.tick(lease_ns + 40 * MS)
    assert beats(machine.drain()) == [(2, 4, 0), (3, 4, 0)]


def test_a_confirmation_names_the_life_that_answered() -> None:
    machine = committed_leader()
    confirming = []
    for seq, life in ((1, 4), (2, 5)):
        hear(machine, 2, HeartbeatReply(2, seq, 2, life), 1 * MS)
        machine.tick(seq * 40 * MS)
        out = machine.drain()
        confirming += [
            (message.confirmed_seq, message.confirmed_life)
            for to, message, _ in out.messages
            if isinstance(message, Heartbeat) and to == 2
        ]
    assert confirming == [(1, 4), (2, 5)]


@pytest.mark.parametrize(("life", "confirmed"), [(0, 7), (4, 0), (5, 7)])
def test_a_confirmation_is_for_the_life_that_answered(life: int, confirmed: int) -> None:
    """0: from a leader of an older version, which does not say."""
    machine = Raft(
        2, storage_of(2), settings(2), random.Random(2),
        hard_state=HardState(2, 0), entries=[config_entry(1, 1, (1, 2, 3))], now_ns=0, life=5,
    )  # fmt: skip
    out = hear(machine, 1, Heartbeat(2, 8, 0, 7, (), life), 1 * MS)
    assert out.granted == [(1, 2, 8, confirmed)]
    assert out.messages == [(1, HeartbeatReply(2, 8, 0, 5), False)]


def test_a_lease_is_confirmed_only_to_who_has_applied_what_the_log_held_when_the_term_began() -> None:
    """It may take a segment from the very node that the lease is for."""
    machine = committed_leader()
    for seq, commit, confirmed in ((1, 1, 0), (2, 2, 2)):
        hear(machine, 2, HeartbeatReply(2, seq, commit), 1 * MS)
        machine.tick(seq * 40 * MS)
        assert beats(machine.drain())[0] == (2, seq + 2, confirmed)


def test_a_lease_is_withheld_until_its_holder_has_applied_an_entry() -> None:
    """Others go on as before."""
    machine = committed_leader()
    index = machine.propose(b"SEALING of a segment of node 2", 1 * MS)
    machine.withhold_lease(2, index)
    for seq, commit in ((1, index - 1), (2, index)):
        for peer in (2, 3):
            hear(machine, peer, HeartbeatReply(2, seq, commit), 2 * MS)
        machine.tick(seq * 40 * MS)
        assert beats(machine.drain()) == [(2, seq + 2, seq if commit == index else 0), (3, seq + 2, seq)]


def test_nothing_is_confirmed_while_leadership_is_handed_over() -> None:
    """The next leader may be elected any moment, lease or not."""
    machine = committed_leader()
    hear(machine, 2, HeartbeatReply(2, 1, 2), 1 * MS)
    assert machine.transfer_leadership(2 * MS)
    machine.tick(40 * MS)
    assert beats(machine.drain()) == [(2, 3, 0), (3, 3, 0)]


def test_a_single_voter_is_in_contact_with_its_quorum_at_any_time() -> None:
    """Nobody else could confirm or depose it."""
    machine = cluster(1).raft(1)
    assert machine.quorum_contact(123) == 123


def test_heartbeats_carry_the_live_nodes() -> None:
    """They are what the parent says."""
    machine = committed_leader()
    machine.live_nodes = (1, 3)
    machine.tick(40 * MS)
    live = {message.live for _, message, _ in machine.drain().messages if isinstance(message, Heartbeat)}
    assert live == {(1, 3)}
