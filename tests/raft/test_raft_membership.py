"""Membership changes (dissertation chapter 4, and the correction of 2015: none before an entry of the own term)."""

import pytest
from raft_alone import config_entry, elect, hear, normal, raft, time_out
from raft_network import cluster, info, storage_of

from walrus.core.config import MS
from walrus.core.peer import (
    ENTRY_CONFIG,
    AppendEntries,
    AppendReply,
    Entry,
    HeartbeatReply,
    TimeoutNow,
    VoteReply,
)
from walrus.core.raft.membership import MemberInfo, Membership
from walrus.core.raft.output import Role
from walrus.core.raft.progress import ProgressState
from walrus.core.raft.quorum import majority, quorum_value
from walrus.core.raft.raft import Raft

THREE = Membership((info(1), info(2), info(4, voter=False)))


def voters_of(machine: Raft) -> tuple[int, ...]:
    """The voters of the configuration that counts."""
    return machine.membership.voters


def test_members_stay_in_ascending_order_through_every_change() -> None:
    """Each helper returns a new value."""
    assert (THREE.voters, THREE.learners) == ((1, 2), (4,))
    grown = THREE.with_learner(info(3))
    assert [member.node for member in grown.members] == [1, 2, 3, 4]
    assert grown.get(3) == info(3, voter=False)
    assert grown.with_promoted(3).voters == (1, 2, 3)
    assert grown.without(2).voters == (1,)
    assert grown.with_address(2, "b:1").get(2) == MemberInfo(2, 1002, "b:1", True)
    assert Membership.decode(grown.encode()) == grown
    assert THREE.get(9) is None


def test_impossible_changes_are_refused_with_the_node_named() -> None:
    """They are misuse, not requests from outside."""
    with pytest.raises(ValueError, match="node 2 is already a member"):
        THREE.with_learner(info(2))
    with pytest.raises(ValueError, match="node 2 cannot be promoted"):
        THREE.with_promoted(2)
    with pytest.raises(ValueError, match="node 9 cannot be removed"):
        THREE.without(9)
    with pytest.raises(ValueError, match="node 9 has no address"):
        THREE.with_address(9, "x:1")


def test_quorum_arithmetic() -> None:
    """A majority, and the largest value that a majority has reached."""
    assert [majority(voters) for voters in (1, 2, 3, 4, 5)] == [1, 2, 2, 3, 3]
    assert [quorum_value(values) for values in ([7], [7, 3], [1, 9, 5], [4, 4, 1, 9], [])] == [7, 3, 5, 4, 0]


def test_4_2_1_a_joiner_becomes_a_learner_catches_up_and_is_promoted() -> None:
    """The leader says so in the words that operators look for."""
    network = cluster(1, spare=1)
    for count in range(500):
        network.propose(b"%d" % count)
    assert network.join(2) == ""
    assert network.raft(1).membership.learners == (2,)
    network.run_for(300 * MS)
    assert network.raft(1).membership.voters == (1, 2)
    assert [note for node, note in network.notes if node == 1][1:] == ["Added learner 2", "Promoted learner 2"]
    assert network.raft(2).role is Role.FOLLOWER
    network.run_for(100 * MS)
    network.checks.converged()


def test_4_2_1_a_learner_that_does_not_answer_is_not_promoted() -> None:
    """A vote for the dead would cost the cluster its quorum."""
    network = cluster(1, spare=1)
    network.crash(2)
    assert network.join(2) == ""
    network.run_for(3_000 * MS)
    assert network.raft(1).membership.voters == (1,)
    assert network.propose(b"still works")
    network.run_for(100 * MS)
    assert network.raft(1).commit_index == network.raft(1).log.last_index


def test_4_2_1_a_learner_far_behind_needs_another_catch_up_round() -> None:
    """It holds what there was when the round began, but too much has come since."""
    machine = raft(1, voters=(1,), learners=(2,))
    elect(machine)
    machine.drain()
    for _ in range(100):
        machine.propose(b"x", 0)
    machine.persisted(102, 2)
    hear(machine, 2, HeartbeatReply(2, 1, 0))
    hear(machine, 2, AppendReply(2, True, 2, 0, 0, 0))
    assert voters_of(machine) == (1,)
    hear(machine, 2, AppendReply(2, True, 101, 0, 0, 0))
    assert voters_of(machine) == (1,)
    hear(machine, 2, AppendReply(2, True, 102, 0, 0, 0))
    assert voters_of(machine) == (1, 2)


def test_two_joins_at_once_do_not_drop_a_voter() -> None:
    """The second waits for the first; afterwards all three vote."""
    network = cluster(1, spare=2)
    assert network.join(2) == ""
    assert network.join(3) == "another membership change is under way"
    network.run_for(50 * MS)
    assert network.join(3) == ""
    network.run_for(500 * MS)
    assert network.checks.converged().voters == (1, 2, 3)


def test_joining_again_changes_nothing_but_the_address() -> None:
    """The same node on the same disk is the same member; on another disk it is not."""
    network = cluster(2)
    leader = network.raft(1)
    before = leader.log.last_index
    assert leader.add_learner(info(2, voter=False), network.now_ns) == ""
    assert leader.log.last_index == before
    assert leader.add_learner(MemberInfo(2, 1002, "moved:6001", False), network.now_ns) == ""
    network.flush(1)
    network.run_for(20 * MS)
    assert leader.committed_membership.get(2) == MemberInfo(2, 1002, "moved:6001", True)
    error = leader.add_learner(MemberInfo(2, 7, "moved:6001", False), network.now_ns)
    assert error == "node 2 is a member with another disk: expected storage id 1002, got 7"


def test_no_change_before_an_entry_of_the_leaders_own_term_is_committed() -> None:
    """Else two leaders could each complete a change that the other has not seen."""
    machine = raft(1)
    elect(machine)
    error = machine.add_learner(info(4, voter=False), 0)
    assert error == "the leader has not committed an entry of its term yet"
    hear(machine, 2, AppendReply(2, True, 2, 0, 0, 0))
    assert machine.add_learner(info(4, voter=False), 0) == ""
    assert machine.progress[4].state is ProgressState.PROBE


def test_no_promotion_before_an_entry_of_the_leaders_own_term_is_committed() -> None:
    """The rule holds for every change."""
    machine = raft(1, voters=(1, 2, 3), learners=(4,))
    elect(machine)
    hear(machine, 4, HeartbeatReply(2, 1, 0))
    hear(machine, 4, AppendReply(2, True, 2, 0, 0, 0))
    assert voters_of(machine) == (1, 2, 3)
    hear(machine, 2, AppendReply(2, True, 2, 0, 0, 0))
    assert voters_of(machine) == (1, 2, 3, 4)


def test_only_the_leader_changes_the_membership() -> None:
    """Others say so."""
    assert raft(2).add_learner(info(4, voter=False), 0) == "not the leader"


def test_a_configuration_counts_from_the_moment_it_is_in_the_log() -> None:
    """Before it is committed, and no longer than it is there."""
    machine = raft(2, voters=(1,), learners=(2,), terms=(1,))
    assert machine.role is Role.LEARNER
    hear(machine, 1, AppendEntries(2, 1, 1, [config_entry(2, 2, (1, 2))], 0))
    assert (machine.role, machine.voters, machine.committed_membership.voters) == (Role.FOLLOWER, (1, 2), ())
    hear(machine, 1, AppendEntries(3, 1, 1, [normal(2, 3)], 1))
    assert (machine.role, machine.voters, machine.committed_membership.voters) == (Role.LEARNER, (1,), (1,))


def test_a_promotion_that_only_the_learner_received_does_not_block_the_old_voter() -> None:
    """The single voter restarts without the entry, leads again, and the learner falls back with its log."""
    network = cluster(1, spare=1)
    network.write_ns = (50 * MS, 50 * MS + 1)
    assert network.join(2) == ""
    while 2 not in network.raft(2).voters:
        network.step()
    assert network.hosts[1].entries[-1].index < network.raft(2).log.last_index
    network.hosts[1].batches.clear()
    network.crash(1)
    network.run_for(2_000 * MS)
    assert network.raft(2).role is not Role.LEADER
    network.start(1)
    network.run_for(2_000 * MS)
    assert network.checks.converged().voters == (1, 2)


def test_a_promotion_that_only_the_leader_has_needs_the_learners_vote_and_gets_it() -> None:
    """The learner votes although it does not know yet that it may."""
    network = cluster(1, spare=1)
    assert network.join(2) == ""
    while network.raft(1).voters != (1, 2):
        network.step()
    network.isolate(2)
    network.run_for(50 * MS)
    assert not network.raft(2).is_voter
    network.crash(1)
    network.start(1)
    network.heal()
    network.run_for(2_000 * MS)
    assert network.checks.converged().voters == (1, 2)


# --- removal ---


def committed_leader(node: int = 1, voters: tuple[int, ...] = (1, 2, 3)) -> Raft:
    """A leader that has committed an entry of its term, and hears from all."""
    machine = raft(node, voters=voters)
    elect(machine)
    for other in voters:
        if other != node:
            hear(machine, other, HeartbeatReply(2, 1, 0))
            hear(machine, other, AppendReply(2, True, 2, 0, 0, 0))
    return machine


def test_4_2_2_a_removed_follower_is_sent_nothing_more_and_the_quorum_is_that_of_the_others() -> None:
    """The configuration counts at once; that it is committed is told to the parent, which tells the node."""
    machine = committed_leader(voters=(1, 2, 3, 4))
    assert machine.remove((4, storage_of(4)), 0) == ""
    out = machine.drain()
    assert {to for to, _, _ in out.messages} == {2, 3}
    assert (machine.voters, machine.quorum, sorted(machine.progress)) == ((1, 2, 3), 2, [2, 3])
    machine.persisted(3, 2)
    out = hear(machine, 2, AppendReply(2, True, 3, 0, 0, 0))
    assert (out.removed, out.notes) == ([(4, storage_of(4))], ["Removed node 4"])
    assert machine.committed_membership.removed == ((4, storage_of(4)),)


def test_4_2_2_a_leader_that_removes_itself_does_not_count_and_stops_once_that_is_committed() -> None:
    """It tells the others of the commit, and the best of them to lead on without an election timeout."""
    machine = committed_leader()
    assert machine.remove((1, storage_of(1)), 0) == ""
    machine.drain()
    machine.persisted(3, 2)
    out = hear(machine, 2, AppendReply(2, True, 3, 0, 0, 0))
    assert (machine.role, out.committed) == (Role.LEADER, []), "its own copy counts no more"
    out = hear(machine, 3, AppendReply(2, True, 3, 0, 0, 0))
    assert [entry.index for entry in out.committed] == [3]
    assert (machine.role, machine.leader) == (Role.LEARNER, 0)
    sent = [(to, message) for to, message, _ in out.messages]
    assert (2, TimeoutNow(2)) in sent
    assert {to for to, message in sent if isinstance(message, AppendEntries) and message.commit == 3} == {2, 3}
    assert out.notes[-1] == "stopped leading in term 2: removed from the cluster"
    machine.tick(machine.deadline().at_ns)
    assert machine.drain().messages == [], "it campaigns no more"


def test_a_cluster_goes_on_without_a_leader_that_removed_itself() -> None:
    """With a real network and disks, and without waiting for anybody to be missed."""
    network = cluster(3)
    assert network.raft(1).remove((1, storage_of(1)), network.now_ns) == ""
    network.flush(1)
    network.run_for(100 * MS)
    leader = network.leader()
    assert leader is not None
    assert leader.node_id in (2, 3)
    assert network.propose(b"goes on")
    network.run_for(100 * MS)
    assert leader.commit_index == leader.log.last_index
    assert leader.membership.voters == (2, 3)


def test_a_removed_server_that_has_not_heard_of_it_disturbs_nobody() -> None:
    """Its pre-votes find voters that hear from a leader (dissertation 4.2.3)."""
    network = cluster(3)
    leader = network.raft(1)
    assert leader.remove((3, storage_of(3)), network.now_ns) == ""
    network.flush(1)
    network.run_for(5_000 * MS)
    assert (leader.role, leader.term) == (Role.LEADER, network.raft(2).term)
    assert network.raft(3).term == leader.term, "it never got as far as a real election"


def test_a_change_that_would_leave_no_quorum_that_answers_is_refused() -> None:
    """With 3 dead, 1 and 2 hold the quorum of three; without 2, node 1 would wait for 3."""
    machine = raft(1)
    elect(machine)
    later_ns = 10_000 * MS
    hear(machine, 2, AppendReply(2, True, 2, 0, 0, 0))
    hear(machine, 2, HeartbeatReply(2, 1, 0), later_ns)
    error = machine.remove((2, storage_of(2)), later_ns)
    assert error == "of the voters that would be left, 1, 3, only 1 answer"
    assert machine.remove((3, storage_of(3)), later_ns) == "", "the dead one may go"


def test_the_last_voter_stays() -> None:
    """A cluster of nobody decides nothing."""
    machine = raft(1, voters=(1,))
    elect(machine)
    machine.persisted(2, 2)
    assert machine.remove((1, storage_of(1)), 0) == "node 1 is the only voter"


def test_removing_who_is_no_member_is_done_already() -> None:
    """So is the same node with another disk: the request is an old one."""
    machine = committed_leader()
    assert machine.remove((9, storage_of(9)), 0) == ""
    assert machine.remove((2, 77), 0) == ""
    assert machine.voters == (1, 2, 3)
    assert raft(2).remove((1, storage_of(1)), 0) == "not the leader"


def test_no_removal_before_an_entry_of_the_leaders_own_term_is_committed() -> None:
    """The rule of 2015 holds for every change, and so does that of one change at a time."""
    machine = raft(1)
    elect(machine)
    assert machine.remove((3, storage_of(3)), 0) == "the leader has not committed an entry of its term yet"
    hear(machine, 2, AppendReply(2, True, 2, 0, 0, 0))
    hear(machine, 2, HeartbeatReply(2, 1, 0))
    assert machine.remove((3, storage_of(3)), 0) == ""
    assert machine.remove((2, storage_of(2)), 0) == "another membership change is under way"


def test_a_removed_disk_never_joins_again_but_its_node_may_with_another_one() -> None:
    """What it promised is forgotten; and its new stay begins with nothing known of its log."""
    machine = committed_leader()
    assert machine.remove((3, storage_of(3)), 0) == ""
    machine.drain()
    hear(machine, 2, AppendReply(2, True, 3, 0, 0, 0))
    machine.persisted(3, 2)
    refused = machine.add_learner(info(3, voter=False), 0)
    assert refused == "node 3 was removed from this cluster, and with it its disk"
    assert machine.add_learner(MemberInfo(3, 77, "node3:6001", False), 0) == ""
    assert (machine.progress[3].match_index, machine.progress[3].state) == (0, ProgressState.PROBE)


def test_4_2_2_a_leader_that_crashed_before_others_had_its_removal_leads_again_to_complete_it() -> None:
    """Only its log has the entry, so the other cannot win; its own vote does not count."""
    machine = raft(1, voters=(1, 2))
    machine.append([Entry(2, 1, ENTRY_CONFIG, Membership((info(1), info(2))).without(1).encode())])
    machine.keep_idle_role()
    assert (machine.role, machine.voters, machine.may_campaign) == (Role.LEARNER, (2,), True)
    time_out(machine)
    assert machine.role is Role.PRE_CANDIDATE
    hear(machine, 2, VoteReply(2, True, True))
    out = hear(machine, 2, VoteReply(2, True, False))
    assert out.notes == ["became leader in term 2"]
    out = hear(machine, 2, AppendReply(2, True, 3, 0, 0, 0))
    assert out.notes[-1] == "stopped leading in term 2: removed from the cluster"
    assert (machine.role, machine.may_campaign) == (Role.LEARNER, False)
