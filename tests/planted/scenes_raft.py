"""What the bugs in Raft change."""

import random

from core_node import World
from raft_alone import config_entry, elect, hear, normal, raft, replies, time_out
from raft_network import info, settings, storage_of
from scene import shows
from segment_fixtures import Wire, joining_of, leading_raft, member, metadata_with, raft_of
from segment_fixtures import settings as node_settings

from walrus.core.actions import SendToAddress
from walrus.core.config import MS
from walrus.core.departures import Departures
from walrus.core.joining import SILENCE_NS
from walrus.core.lease import Lease
from walrus.core.liveness import Liveness
from walrus.core.metadata.commands import LEAVING, SetNodeState
from walrus.core.peer import (
    ENTRY_CONFIG,
    AppendEntries,
    AppendReply,
    Entry,
    Heartbeat,
    HeartbeatReply,
    JoinRequest,
    RequestVote,
    VoteReply,
)
from walrus.core.raft.membership import MemberInfo, Membership
from walrus.core.raft.output import HardState, RaftOutput, Role
from walrus.core.raft.raft import Raft


def matched(machine: Raft, node: int, index: int) -> RaftOutput:
    """A follower says that its log matches up to ``index``."""
    return hear(machine, node, AppendReply(machine.term, True, index, 0, 0, 0))


def granted(machine: Raft, candidate: int, request: RequestVote, now_ns: int = 0) -> bool:
    [reply] = replies(machine, candidate, request, now_ns)
    assert isinstance(reply, VoteReply)
    return reply.granted


def holds(*terms: int, node: int = 2) -> Raft:
    """A follower with entries of these terms."""
    return raft(node, terms=terms)


# --- elections and membership ---


@shows("change-before-own-commit", sound="the leader has not committed an entry of its term yet", broken="")
def a_leader_that_has_committed_nothing_is_asked_to_add_a_node() -> object:
    machine = raft(1)
    hear(machine, 2, Heartbeat(1, 1, 1, 0, ()))
    elect(machine)
    return machine.add_learner(info(4, voter=False), 0)


@shows("two-changes-at-once", sound="another membership change is under way", broken="")
def a_leader_is_asked_to_add_a_second_node_while_the_first_is_not_committed() -> object:
    machine = raft(1)
    elect(machine)
    matched(machine, 2, machine.log.last_index)
    assert machine.add_learner(info(4, voter=False), 0) == ""
    return machine.add_learner(info(5, voter=False), 0)


@shows("readded-member", sound=0, broken=2)
def a_node_that_was_removed_comes_again_with_an_empty_disk() -> object:
    machine = raft(1)
    elect(machine)
    matched(machine, 2, 2)
    matched(machine, 3, 2)
    hear(machine, 2, HeartbeatReply(2, 1, 0))
    assert machine.remove((3, storage_of(3)), 0) == ""
    matched(machine, 2, 3)
    machine.persisted(3, 2)
    assert machine.add_learner(MemberInfo(3, 77, "node3:6001", False), 0) == ""
    return machine.progress[3].match_index


@shows("replaced-leader-unheard", sound=2, broken=1)
def a_leader_speaks_whose_new_disk_is_not_known_yet() -> object:
    world = World().start().sleep(500 * MS)
    world.hear(JoinRequest(2, 1002, "node2:6001"), cluster=0)
    world.hear(Heartbeat(world.node.raft.term + 1, 1, 0, 0, ()), storage=77)
    return world.node.raft.leader


@shows("removed-leader-gives-up", sound=Role.PRE_CANDIDATE, broken=Role.LEARNER)
def a_node_alone_knows_that_it_is_removed_and_times_out() -> object:
    machine = raft(1, voters=(1, 2))
    machine.append([Entry(2, 1, ENTRY_CONFIG, Membership((info(1), info(2))).without(1).encode())])
    machine.keep_idle_role()
    time_out(machine)
    return machine.role


@shows("removed-before-drained", sound=(1, 2, 3), broken=(1, 2))
def a_node_is_to_leave_whose_copies_are_needed() -> object:
    machine, metadata, liveness = leading_raft(1, (1, 2, 3)), metadata_with(1, 2, 3), Liveness(0)
    machine.step(2, HeartbeatReply(2, 1, 0), 0)
    metadata.apply(SetNodeState(*member(3), LEAVING))
    Departures(Wire().out, node_settings(1), metadata, machine, liveness).tick(0)
    return machine.voters


@shows("silent-learner", sound=True, broken=False)
def a_learner_is_asked_for_its_vote() -> object:
    return granted(raft(4, learners=(4,)), 2, RequestVote(2, 1, 1, False, False))


@shows("stale-leader-untold", sound=[HeartbeatReply(5, 0, 0)], broken=[])
def a_leader_of_an_older_term_sends_a_heartbeat() -> object:
    return replies(raft(2, term=5), 1, Heartbeat(1, 1, 0, 0, ()))


@shows("vote-not-durable", sound=[True], broken=[False])
def a_voter_is_asked_for_its_vote_and_may_have_to_wait_for_its_disk() -> object:
    out = hear(raft(2), 1, RequestVote(2, 1, 1, False, False))
    return [durable for _, _, durable in out.messages]


@shows("candidacy-not-durable", sound=[True, True], broken=[False, False])
def a_candidate_asks_for_votes_and_may_have_to_wait_for_its_disk() -> object:
    machine = raft(1)
    time_out(machine)
    out = hear(machine, 2, VoteReply(machine.term + 1, True, True))
    assert machine.role is Role.CANDIDATE
    return [durable for _, _, durable in out.messages]


@shows("vote-for-stale-log", sound=False, broken=True)
def a_candidate_with_a_shorter_log_asks_for_a_vote() -> object:
    return granted(holds(1, 1, 1), 1, RequestVote(2, 1, 1, False, False))


@shows("two-votes-in-a-term", sound=[True, False], broken=[True, True])
def two_candidates_of_one_term_ask_for_a_vote() -> object:
    machine = raft(2)
    return [granted(machine, candidate, RequestVote(2, 1, 1, False, False)) for candidate in (1, 3)]


@shows("term-of-one-not-durable", sound=[True, True], broken=[False, False])
def the_only_voter_is_elected_and_speaks_to_its_learner() -> object:
    out = time_out(raft(1, voters=(1,), learners=(2,)))
    return [durable for _, _, durable in out.messages]


@shows("joiner-forgotten", sound=1, broken=0)
def a_learner_hears_from_no_leader_any_more() -> object:
    wire = Wire(4)
    joining = joining_of(wire.out, node_settings(4, join=("node1:6001",)), raft_of(4, (1, 2, 3)))
    joining.tick(2 * SILENCE_NS)
    return sum(isinstance(action, SendToAddress) for action in wire.out.drain())


@shows("amnesiac-voter", sound=False, broken=True)
def a_voter_comes_back_with_another_disk() -> object:
    hard = HardState(1, 0)
    entries = [config_entry(1, 1, (1, 2, 3))]
    return Raft(2, 77, settings(2), random.Random(2), hard_state=hard, entries=entries, now_ns=0).is_voter


# --- replication and commitment ---


@shows("unsorted-commit", sound=0, broken=2)
def the_middle_one_of_three_voters_alone_holds_an_entry() -> object:
    machine = raft(1)
    elect(machine, persist=False)
    matched(machine, 2, 2)
    return machine.commit_index


@shows("heartbeat-commits-unchecked", sound=0, broken=2)
def a_leader_sends_a_heartbeat_to_a_follower_whose_log_it_does_not_know() -> object:
    machine = raft(1)
    elect(machine)
    matched(machine, 2, 2)
    machine.tick(50 * MS)
    [beat] = [m for to, m, _ in machine.drain().messages if to == 3 and isinstance(m, Heartbeat)]
    return beat.commit


@shows("older-term-counted", sound=0, broken=2)
def a_quorum_holds_an_entry_of_an_older_term() -> object:
    machine = raft(1, terms=(1, 1))
    elect(machine)
    matched(machine, 2, 2)
    return machine.commit_index


@shows("commit-goes-back", sound=2, broken=1)
def a_heartbeat_tells_a_lower_commit_index_than_the_one_before() -> object:
    machine = holds(1, 1)
    for seq, commit in ((1, 2), (2, 1)):
        hear(machine, 1, Heartbeat(1, seq, commit, 0, ()))
    return machine.commit_index


@shows("match-beyond-proof", sound=1, broken=3)
def an_empty_append_ends_below_the_end_of_the_log() -> object:
    [reply] = replies(holds(1, 1, 1), 1, AppendEntries(2, 1, 1, [], 0))
    assert isinstance(reply, AppendReply)
    return reply.match_index


@shows("entries-not-durable", sound=[True], broken=[False])
def a_follower_takes_an_entry_and_may_have_to_wait_for_its_disk() -> object:
    out = hear(holds(1), 1, AppendEntries(1, 1, 1, [normal(2, 1)], 0))
    return [durable for _, _, durable in out.messages]


@shows("leader-counts-undurable", sound=0, broken=2)
def a_leader_whose_disk_is_slow_has_one_follower_of_two() -> object:
    machine = raft(1)
    elect(machine, persist=False)
    matched(machine, 3, 2)
    return machine.commit_index


@shows("late-completion", sound=1, broken=3)
def a_write_completes_after_its_entries_were_replaced() -> object:
    machine = holds(1)
    hear(machine, 1, AppendEntries(1, 1, 1, [normal(2, 1), normal(3, 1)], 0))
    hear(machine, 3, AppendEntries(2, 1, 1, [normal(2, 2), normal(3, 2)], 0))
    machine.persisted(3, 1)
    return machine.persisted_index


@shows("previous-term-unchecked", sound=False, broken=True)
def an_append_follows_an_entry_of_another_term() -> object:
    [reply] = replies(holds(1, 2), 1, AppendEntries(3, 2, 1, [], 0))
    assert isinstance(reply, AppendReply)
    return reply.success


@shows("late-append-truncates", sound=3, broken=2)
def an_append_comes_again_after_a_longer_one() -> object:
    machine = holds(1, 1, 1)
    hear(machine, 1, AppendEntries(1, 1, 1, [normal(2, 1)], 0))
    return machine.log.last_index


@shows("read-without-round", sound=[], broken=[(7, 2)])
def a_leader_is_asked_for_a_read() -> object:
    machine = raft(1)
    elect(machine)
    matched(machine, 2, 2)
    machine.request_read(7, 0)
    return machine.drain().reads


@shows("read-before-own-commit", sound=[], broken=[(7, 0)])
def a_quorum_answers_a_leader_that_has_committed_nothing() -> object:
    machine = raft(1)
    elect(machine)
    machine.request_read(7, 0)
    beats = [m for to, m, _ in machine.drain().messages if to == 2 and isinstance(m, Heartbeat)]
    if not beats:
        machine.tick(50 * MS)
        beats = [m for to, m, _ in machine.drain().messages if to == 2 and isinstance(m, Heartbeat)]
    return hear(machine, 2, HeartbeatReply(machine.term, beats[-1].seq, 0)).reads


# --- what voters owe a leader ---


@shows("faithless-voters", sound=[], broken=[VoteReply(2, True, False)])
def a_voter_that_has_just_heard_from_a_leader_is_asked_for_its_vote() -> object:
    machine = holds(1)
    hear(machine, 1, Heartbeat(1, 1, 0, 0, ()))
    return [m for m in replies(machine, 3, RequestVote(2, 1, 1, False, False), 100 * MS) if m.granted]  # type: ignore[union-attr]


@shows("restart-forgets-leader", sound=False, broken=True)
def a_voter_that_has_just_started_again_is_asked_for_its_vote() -> object:
    hard = HardState(1, 0)
    entries = [config_entry(1, 1, (1, 2, 3))]
    machine = Raft(2, member(2)[1], settings(2), random.Random(2), hard_state=hard, entries=entries, now_ns=0)
    return granted(machine, 3, RequestVote(2, 1, 1, True, False), 1 * MS)


@shows("lease-unconfirmed", sound=[0], broken=[1])
def a_leader_sends_heartbeats_although_no_quorum_has_answered_for_longer_than_a_lease() -> object:
    machine = raft(1)
    elect(machine)
    hear(machine, 2, HeartbeatReply(machine.term, 1, machine.log.last_index))
    machine.tick(machine.config.lease_ns + 50 * MS)
    assert machine.role is Role.LEADER
    beats = [m for to, m, _ in machine.drain().messages if to == 2 and isinstance(m, Heartbeat)]
    return [beat.confirmed_seq for beat in beats]


@shows("lease-back-too-early", sound=[0], broken=[1])
def a_writer_that_a_segment_is_about_to_be_taken_from_is_heard_again() -> object:
    machine = raft(1)
    elect(machine)
    matched(machine, 2, 2)
    machine.withhold_lease(2, machine.propose(b"SEALING", 0))
    hear(machine, 2, HeartbeatReply(machine.term, 1, 2))
    machine.tick(50 * MS)
    return [m.confirmed_seq for to, m, _ in machine.drain().messages if to == 2 and isinstance(m, Heartbeat)]


@shows("leader-leased-too-early", sound=(False, True), broken=(True, True))
def a_quorum_answers_a_new_leader_before_and_after_it_has_applied_an_entry_of_its_term() -> object:
    machine = raft(1)
    lease = Lease(machine.config, machine)
    elect(machine)
    hear(machine, 2, HeartbeatReply(machine.term, 1, 0))
    before = lease.valid(1 * MS)
    matched(machine, 2, machine.log.last_index)
    return before, lease.valid(1 * MS)


@shows("transfer-taken-back", sound=Role.FOLLOWER, broken=Role.LEADER)
def a_leader_gives_up_a_transfer_that_it_has_ordered() -> object:
    machine = raft(1)
    elect(machine)
    matched(machine, 2, 2)
    assert machine.transfer_leadership(0)
    machine.drain()
    machine.tick(machine.config.election_timeout_min_ns)
    return machine.role


@shows("confirmed-to-another-life", sound=[(1, 1, 8, 0)], broken=[(1, 1, 8, 7)])
def a_heartbeat_confirms_an_answer_of_the_life_before() -> object:
    machine = Raft(
        2, storage_of(2), settings(2), random.Random(2),
        hard_state=HardState(1, 0), entries=[config_entry(1, 1, (1, 2, 3))], now_ns=0, life=2,
    )  # fmt: skip
    return hear(machine, 1, Heartbeat(1, 8, 0, 7, (), 1)).granted


@shows("repeated-heartbeat-renews", sound=[1, 0], broken=[1, 1])
def a_heartbeat_comes_twice() -> object:
    machine = holds(1)
    return [len(hear(machine, 1, Heartbeat(1, 1, 0, 0, ())).granted) for _ in range(2)]
