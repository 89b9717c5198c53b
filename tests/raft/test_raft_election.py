"""Elections (the paper, section 5.2 and 5.4.1; dissertation 3.10, 4.2.3, 6.2, 9.6)."""

from random import Random

import pytest
from raft_alone import elect, hear, normal, raft, replies, time_out
from raft_network import cluster, settings

from walrus.core.config import MS
from walrus.core.peer import AppendEntries, Entry, Heartbeat, HeartbeatReply, RequestVote, TimeoutNow, VoteReply
from walrus.core.raft.election import may_grant
from walrus.core.raft.log import RaftLog
from walrus.core.raft.output import HardState, Role
from walrus.core.raft.raft import Raft

MIN_NS = settings(1).election_timeout_min_ns
MAX_NS = settings(1).election_timeout_max_ns


def test_5_2_an_election_timeout_asks_for_pre_votes_without_touching_the_term() -> None:
    """A pre-candidate writes nothing down and names the term it would campaign in."""
    machine = raft(1, terms=(1, 2))
    out = time_out(machine)
    assert machine.role is Role.PRE_CANDIDATE
    assert machine.term == 2
    assert out.records == []
    request = RequestVote(3, 2, 2, True, False)
    assert out.messages == [(2, request, False), (3, request, False)]


def test_5_2_a_quorum_of_pre_votes_starts_an_election_whose_requests_wait_for_the_own_vote() -> None:
    """A candidate votes for itself, durably, before anybody hears of it."""
    machine = raft(1, terms=(1, 2))
    time_out(machine)
    out = hear(machine, 3, VoteReply(3, True, True))
    assert machine.role is Role.CANDIDATE
    assert out.records == [HardState(3, 1)]
    request = RequestVote(3, 2, 2, False, False)
    assert out.messages == [(2, request, True), (3, request, True)]


def test_5_2_a_quorum_of_votes_makes_a_leader_that_announces_itself() -> None:
    """A new leader appends a no-op, sends a heartbeat round and replicates, all in one drain."""
    machine = raft(1, terms=(1, 2))
    out = elect(machine, persist=False)
    assert (machine.role, machine.leader) == (Role.LEADER, 1)
    assert out.records == [Entry(3, 3, 1, b"")]
    assert out.notes == ["became leader in term 3"]
    heartbeat = Heartbeat(3, 1, 0, 0, ())
    append = AppendEntries(3, 2, 2, [Entry(3, 3, 1, b"")], 0)
    assert out.messages == [
        (2, heartbeat, False),
        (3, heartbeat, False),
        (2, append, False),
        (3, append, False),
    ]


def test_5_2_the_same_voter_counts_once() -> None:
    """Repeated votes and votes of strangers elect nobody."""
    machine = raft(1, voters=(1, 2, 3, 4, 5))
    time_out(machine)
    for sender in (2, 2, 2, 9):
        hear(machine, sender, VoteReply(2, True, True))
    assert machine.term == 1
    hear(machine, 5, VoteReply(2, True, True))
    assert (machine.role, machine.term) == (Role.CANDIDATE, 2)


def test_5_2_a_vote_is_durable_before_it_is_answered() -> None:
    """The reply carries the durability mark, and the record is in the same drain."""
    machine = raft(2)
    out = hear(machine, 1, RequestVote(2, 1, 1, False, False))
    assert out.records == [HardState(2, 1)]
    assert out.messages == [(1, VoteReply(2, True, False), True)]


def test_5_2_one_vote_a_term() -> None:
    """The same candidate is answered again, another one is refused."""
    machine = raft(2)
    hear(machine, 1, RequestVote(2, 1, 1, False, False))
    assert replies(machine, 1, RequestVote(2, 1, 1, False, False)) == [VoteReply(2, True, False)]
    assert replies(machine, 3, RequestVote(2, 1, 1, False, False)) == [VoteReply(2, False, False)]


def test_5_2_the_vote_survives_a_restart() -> None:
    """What was voted before the crash binds after it."""
    machine = raft(2, term=2, vote=1)
    assert replies(machine, 3, RequestVote(2, 9, 2, False, False)) == [VoteReply(2, False, False)]


@pytest.mark.parametrize(
    ("last_index", "last_term", "granted"),
    [(2, 3, True), (9, 2, False), (3, 3, True), (1, 3, False), (1, 4, True)],
)
def test_5_4_1_a_vote_needs_a_log_at_least_as_up_to_date(last_index: int, last_term: int, granted: bool) -> None:
    """The later last term wins, then the longer log."""
    log = RaftLog([normal(1, 1), normal(2, 3)])
    for pre in (False, True):
        request = RequestVote(5, last_index, last_term, pre, False)
        term = 4 if pre else 5
        assert may_grant(request, 1, term=term, vote=0, log=log, leader_is_alive=False) is granted


def test_9_6_pre_votes_disturb_nobody() -> None:
    """A granted pre-vote changes neither term nor vote, however high the term it asks about."""
    machine = raft(2)
    out = hear(machine, 3, RequestVote(50, 9, 9, True, False))
    assert out.messages == [(3, VoteReply(50, True, True), False)]
    assert out.records == []
    assert machine.term == 1


def test_9_6_a_granted_pre_vote_does_not_raise_the_term_but_a_refused_one_does() -> None:
    """A refusal tells the pre-candidate the term it has to catch up with."""
    machine = raft(1)
    time_out(machine)
    hear(machine, 2, VoteReply(60, True, True))
    assert (machine.role, machine.term) == (Role.PRE_CANDIDATE, 1)
    out = hear(machine, 2, VoteReply(7, False, True))
    assert (machine.role, machine.term) == (Role.FOLLOWER, 7)
    assert out.records == [HardState(7, 0)]


def test_9_6_an_isolated_node_comes_back_without_an_election() -> None:
    """Its term has not grown meanwhile, so the leader goes on leading."""
    network = cluster(3)
    network.isolate(3)
    network.run_for(5_000 * MS)
    assert network.raft(3).role is Role.PRE_CANDIDATE
    network.heal()
    network.run_for(100 * MS)
    assert [machine.term for machine in network.running()] == [1, 1, 1]
    assert network.raft(3).leader == 1


@pytest.mark.parametrize("pre", [False, True])
def test_4_2_3_who_hears_from_a_leader_votes_for_nobody(pre: bool) -> None:
    """Neither kind of vote is granted, nor the term taken over, until the shortest election timeout is over."""
    machine = raft(2)
    hear(machine, 1, Heartbeat(1, 1, 0, 0, ()), 0)
    request = RequestVote(2, 9, 9, pre, False)
    assert replies(machine, 3, request, MIN_NS - 1) == [VoteReply(1, False, pre)]
    assert machine.term == 1
    assert replies(machine, 3, request, MIN_NS) == [VoteReply(2, True, pre)]


def test_4_2_3_a_restarted_node_keeps_the_promise_it_may_have_made() -> None:
    """It cannot know whether it heard from a leader just before, so it waits as if it had."""
    network = cluster(3)
    network.crash(3)
    restarted = network.start(3)
    request = RequestVote(9, 99, 9, False, False)
    assert replies(restarted, 2, request, network.now_ns + MIN_NS - 1) == [VoteReply(1, False, False)]


def test_4_2_3_a_leader_with_its_quorum_ignores_candidates() -> None:
    """A removed or confused node cannot depose it by asking for votes."""
    machine = raft(1)
    elect(machine)
    hear(machine, 2, HeartbeatReply(2, 1, 0), 5 * MS)
    assert replies(machine, 9, RequestVote(8, 99, 7, False, False), 100 * MS) == [VoteReply(2, False, False)]
    assert machine.role is Role.LEADER


def test_5_1_a_stale_message_is_answered_with_the_newer_term_and_nothing_of_the_old_one() -> None:
    """A sequence number of an old term would look like an answer to the new leader of that number's round."""
    machine = raft(2, term=5)
    assert replies(machine, 1, Heartbeat(4, 77, 0, 0, ())) == [HeartbeatReply(5, 0, 0)]
    (reply,) = replies(machine, 1, AppendEntries(4, 6, 4, [], 0))
    assert (reply.term, reply.success, reply.reject_prev) == (5, False, 0)  # type: ignore[union-attr]
    leader = raft(1)
    elect(leader)
    out = hear(leader, 2, HeartbeatReply(2, 0, 0))
    assert out.heartbeat_acks == []


def test_6_2_a_leader_without_answers_stops_leading_and_fails_its_reads() -> None:
    """Check-quorum: after the longest election timeout without a quorum it leads no more, in the same term."""
    machine = raft(1)
    elect(machine)
    assert machine.request_read(7, 1)
    machine.tick(MAX_NS - 1)
    assert machine.role is Role.LEADER
    machine.drain()
    machine.tick(MAX_NS + machine.config.heartbeat_interval_ns)
    out = machine.drain()
    assert (machine.role, machine.leader, machine.term) == (Role.FOLLOWER, 0, 2)
    assert out.failed_reads == [7]
    assert out.notes == ["stopped leading in term 2: no quorum answers"]
    assert out.messages == []


def test_6_2_a_pause_of_the_whole_process_is_no_sign_of_death() -> None:
    """Neither a leader nor a follower that stood still suspects the others for what it did not hear."""
    leader, follower = raft(1), raft(2)
    elect(leader)
    hear(follower, 1, Heartbeat(2, 1, 0, 0, ()), 0)
    for machine in (leader, follower):
        machine.stalled(10_000 * MS)
        machine.tick(10_000 * MS + MIN_NS - 1)
    assert leader.role is Role.LEADER
    assert follower.role is Role.FOLLOWER
    assert leader.quorum_contact(10_000 * MS) < 0  # but nothing is confirmed by standing still


def test_a_single_voter_leads_at_once_but_tells_nobody_before_its_term_is_durable() -> None:
    """Else it could forget the term and lead it a second time with another log."""
    machine = raft(1, voters=(1,), learners=(2,))
    assert machine.deadline().at_ns == -(1 << 40)
    machine.tick(0)
    out = machine.drain()
    assert machine.role is Role.LEADER
    assert out.records == [HardState(2, 1), Entry(2, 2, 1, b"")]
    assert [durable for _, _, durable in out.messages] == [True, True]
    machine.persisted(2, 2)
    machine.tick(40 * MS)
    assert [durable for _, _, durable in machine.drain().messages] == [False]


def test_a_learner_never_campaigns_but_votes() -> None:
    """It may have been promoted by an entry that only the candidate holds."""
    for machine in (raft(4, learners=(4,)), raft(4, terms=())):
        assert machine.role is Role.LEARNER
        out = time_out(machine)
        assert machine.role is Role.LEARNER
        assert out.messages == []
        assert replies(machine, 1, RequestVote(2, 1, 1, True, False)) == [VoteReply(2, True, True)]
        assert replies(machine, 1, RequestVote(2, 1, 1, False, False)) == [VoteReply(2, True, False)]


def test_a_node_with_another_disk_is_not_the_voter_of_its_number() -> None:
    """Its vote went with the old disk."""
    entries = raft(2).log.slice(1, 1)
    stranger = Raft(2, 999, settings(2), Random(2), hard_state=HardState(), entries=entries, now_ns=0)
    assert stranger.role is Role.LEARNER


def test_election_timeouts_are_drawn_anew_within_their_bounds() -> None:
    """Every reset draws from [min, max)."""
    machine = raft(2)
    drawn = set()
    for seq in range(1, 200):
        hear(machine, 1, Heartbeat(1, seq, 0, 0, ()), 0)
        drawn.add(machine.deadline().at_ns)
    assert MIN_NS <= min(drawn) < max(drawn) < MAX_NS
    assert len(drawn) > 190


def test_3_10_a_transfer_moves_leadership_within_a_few_round_trips() -> None:
    """The most caught-up live voter is told to campaign, and the others vote although they hear from a leader."""
    network = cluster(3)
    leader = network.raft(1)
    network.propose(b"x")
    assert leader.transfer_leadership(network.now_ns)
    assert leader.propose(b"refused", network.now_ns) == 0
    network.flush(1)
    network.run_for(20 * MS)
    assert (network.leader().node_id, network.leader().term) == (2, 2)  # type: ignore[union-attr]
    assert leader.role is Role.FOLLOWER
    network.run_for(100 * MS)
    network.checks.converged()


def test_3_10_timeout_now_is_sent_only_once_the_transferee_has_everything() -> None:
    """It skips the pre-vote, so it must be able to win."""
    network = cluster(3)
    leader = network.raft(1)
    network.isolate(3)
    network.run_for(MIN_NS)
    network.cut.add((1, 2))
    network.propose(b"x")
    assert leader.transfer_leadership(network.now_ns)
    out = network.flush(1)
    assert not any(isinstance(message, TimeoutNow) for _, message, _ in out.messages)


def test_3_10_a_transfer_that_does_not_come_about_is_given_up() -> None:
    """After the shortest election timeout the leader takes proposals again, where it has told nobody to lead."""
    network = cluster(3)
    leader = network.raft(1)
    network.cut |= {(1, 2), (1, 3)}
    network.propose(b"not there yet")
    assert leader.transfer_leadership(network.now_ns)
    assert leader.is_transferring
    network.run_for(MIN_NS + leader.config.heartbeat_interval_ns)
    assert not leader.is_transferring
    assert leader.propose(b"x", network.now_ns) > 0
    assert (1, "gave up handing leadership to node 2") in network.notes


def test_3_10_a_leader_that_has_told_another_to_lead_stops_when_it_gives_up() -> None:
    """Its word may come late, and then no voter minds the leases that this leader confirmed meanwhile."""
    network = cluster(3)
    leader = network.raft(1)
    network.cut |= {(1, 2), (1, 3)}
    assert leader.transfer_leadership(network.now_ns)
    network.run_for(MIN_NS + leader.config.heartbeat_interval_ns)
    assert leader.role is not Role.LEADER
    assert (1, "stopped leading in term 1: another node was told to lead") in network.notes


def test_3_10_nobody_to_hand_over_to() -> None:
    """A leader alone, a leader whose voters are dead, and a follower say no."""
    alone = raft(1, voters=(1,), learners=(2,))
    elect(alone)
    assert not alone.transfer_leadership(0)
    bereft = raft(1)
    elect(bereft)
    assert not bereft.transfer_leadership(MIN_NS)
    assert not raft(2).transfer_leadership(0)
