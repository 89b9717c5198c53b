"""One Raft instance under a test's full control: the test plays its peers, disk and clock."""

import random

from raft_network import info, settings, storage_of

from walrus.core.peer import ENTRY_CONFIG, ENTRY_NORMAL, Entry, RaftMessage, VoteReply
from walrus.core.raft.membership import Membership
from walrus.core.raft.output import HardState, RaftOutput, Role
from walrus.core.raft.raft import Raft


def config_entry(index: int, term: int, voters: tuple[int, ...], learners: tuple[int, ...] = ()) -> Entry:
    """A configuration entry."""
    nodes = sorted((*voters, *learners))
    members = Membership(tuple(info(node, voter=node in voters) for node in nodes))
    return Entry(index, term, ENTRY_CONFIG, members.encode())


def normal(index: int, term: int) -> Entry:
    """A command that tells where it is from."""
    return Entry(index, term, ENTRY_NORMAL, b"%d@%d" % (term, index))


def raft(
    node: int,
    voters: tuple[int, ...] = (1, 2, 3),
    learners: tuple[int, ...] = (),
    *,
    terms: tuple[int, ...] = (1,),
    vote: int = 0,
    term: int = 0,
) -> Raft:
    """A restarted node whose log holds entries of ``terms``, the first of them the configuration.

    It starts long before the tests' time 0, so that it owes no leader anything.
    """
    entries = [config_entry(1, terms[0], voters, learners)] if terms else []
    entries += [normal(index, entry_term) for index, entry_term in enumerate(terms[1:], start=2)]
    last_term = terms[-1] if terms else 0
    return Raft(
        node,
        storage_of(node),
        settings(node),
        random.Random(node),
        hard_state=HardState(max(term, last_term), vote),
        entries=entries,
        now_ns=-(1 << 40),
    )


def hear(machine: Raft, sender: int, message: RaftMessage, now_ns: int = 0) -> RaftOutput:
    """Let one message arrive; return what came of it."""
    machine.step(sender, message, now_ns)
    return machine.drain()


def replies(machine: Raft, sender: int, message: RaftMessage, now_ns: int = 0) -> list[RaftMessage]:
    """Let one message arrive; return the messages sent for it."""
    return [sent for _, sent, _ in hear(machine, sender, message, now_ns).messages]


def time_out(machine: Raft) -> RaftOutput:
    """Let the election timer fire at time 0."""
    machine.stalled(-machine.deadline().at_ns)
    machine.tick(0)
    return machine.drain()


def elect(machine: Raft, *, persist: bool = True) -> RaftOutput:
    """Make ``machine`` the leader of the next term at time 0, with the votes of all; return its last output."""
    out = time_out(machine)
    others = [node for node in machine.voters if node != machine.node_id]
    for node in others:
        if machine.role is Role.PRE_CANDIDATE:
            hear(machine, node, VoteReply(machine.term + 1, True, True))
    for node in others:
        if machine.role is Role.CANDIDATE:
            out = hear(machine, node, VoteReply(machine.term, True, False))
    assert machine.role is Role.LEADER
    if persist:
        machine.persisted(machine.log.last_index, machine.log.last_term)
    return out
