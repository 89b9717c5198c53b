"""Membership changes (dissertation chapter 4, and the correction of 2015: none before an entry of the own term)."""

import pytest
from raft_alone import config_entry, elect, hear, normal, raft
from raft_network import cluster, info

from walrus.core.config import MS
from walrus.core.peer import AppendEntries, AppendReply, HeartbeatReply
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
