"""Bugs in leases, on the holder's side and on the leader's."""

from fuzz.planted.bug import Bug, Edit
from walrus.core.cursors import Cursors
from walrus.core.lease import Lease, LeaseTable
from walrus.core.raft.election import may_grant
from walrus.core.raft.leader import Leader
from walrus.core.raft.raft import Raft
from walrus.core.running import Running
from walrus.core.segment.blockreader import BlockReader

BUGS = (
    Bug(
        "lease-from-receipt",
        20,
        "A holder counts its lease from when the confirmation came, not from when its answer went.",
        "research note",
        True,
        (
            Edit(
                Lease.heartbeat,
                "self._until_ns = max(self._until_ns, sent + self._lease_ns)",
                "self._until_ns = max(self._until_ns, now_ns + self._lease_ns)",
            ),
        ),
    ),
    Bug(
        "lease-unconfirmed",
        0,
        "A leader confirms leases although no quorum has answered it within one lease.",
        "Ongaro's dissertation, section 6.4.1; SOFAJRaft pull request 34",
        True,
        (
            Edit(
                Leader._start_round,
                "confirmed = not self.transferee and now_ns < self.quorum_contact_ns(now_ns) + state.config.lease_ns",
                "confirmed = True",
            ),
        ),
    ),
    Bug(
        "lease-back-too-early",
        0,
        "A writer that is heard again gets its lease back before it knows that its segment is about to be taken.",
        "own code, found by the checker of leases",
        False,
        (
            Edit(
                Leader._start_round,
                "progress.acked_seq if confirmed and progress.may_hold_lease else 0",
                "progress.acked_seq if confirmed else 0",
            ),
        ),
    ),
    Bug(
        "leader-leased-too-early",
        0,
        "A new leader holds a lease before it knows what was committed against it in earlier terms.",
        "own code, found by the checker of leases (seed 1002565 of 3 nodes)",
        False,
        (
            Edit(
                Lease.until_ns,
                "if raft.role is LEADER and raft.log.term(raft.applied_index) == raft.term:",
                "if raft.role is LEADER:",
            ),
        ),
    ),
    Bug(
        "transfer-taken-back",
        0,
        "A leader that told another one to lead gives up waiting for it, and confirms leases again.",
        "own code",
        False,
        (Edit(Leader.tick, "self.must_stop = self._timeout_now_sent", "self.must_stop = False"),),
    ),
    Bug(
        "endless-lease",
        0,
        "A lease, once granted, never ends.",
        "every system in which a deposed leader goes on serving",
        True,
        (Edit(Lease.valid, "return now_ns < self.until_ns(now_ns)", "return self.until_ns(now_ns) >= 0"),),
    ),
    Bug(
        "reads-without-lease",
        0,
        "The writer of an open segment serves reads and GETs without a lease.",
        "Consul issue 54; etcd issue 741",
        True,
        (
            Edit(BlockReader._visible, " or not self._writers.lease_valid(now_ns)", ""),
            Edit(BlockReader._without_copy, " and self._writers.lease_valid(now_ns)", ""),
            Edit(Cursors._serve, "if not owned.queue or not self._lease.valid(now_ns):", "if not owned.queue:"),
        ),
    ),
    Bug(
        "impatient-leader",
        0,
        "A new leader does not wait for the end of the leases that its predecessor confirmed.",
        "SOFAJRaft issue 25",
        True,
        (
            Edit(
                LeaseTable.elected, "self._nobody_before_ns = now_ns + self._hold_ns", "self._nobody_before_ns = now_ns"
            ),
        ),
    ),
    Bug(
        "faithless-voters",
        0,
        "A voter that hears from a leader votes for another one all the same.",
        "Ongaro's dissertation, section 4.2.3",
        True,
        (
            Edit(may_grant, "    if leader_is_alive and not request.transfer:\n        return False\n", ""),
            Edit(
                Raft.step,
                "if not message.pre and (message.transfer or not self._leader_is_alive(now_ns)):",
                "if not message.pre:",
            ),
        ),
    ),
    Bug(
        "restart-forgets-leader",
        0,
        "A restarted voter forgets that it may just have promised a leader to elect nobody else.",
        "own",
        False,
        (Edit(Raft.__init__, "now_ns if hard_state.term else LONG_AGO_NS", "LONG_AGO_NS"),),
    ),
    Bug(
        "no-drift-margin",
        0,
        "The leader's table leaves no margin for clocks that run differently.",
        "own",
        False,
        (Edit(LeaseTable.__init__, "config.lease_ns + config.lease_margin_ns", "config.lease_ns"),),
    ),
    Bug(
        "repeated-heartbeat-renews",
        0,
        "A heartbeat that comes twice is answered twice, and the lease counts from the second answer.",
        "own",
        False,
        (
            Edit(Raft._on_heartbeat, "if message.seq <= self._heartbeat_seq:", "if message.seq < 0:"),
            Edit(Lease.heartbeat, "self._sent_ns.setdefault((term, seq), now_ns)", "self._sent_ns[term, seq] = now_ns"),
        ),
    ),
    Bug(
        "confirmed-to-another-life",
        0,
        "A heartbeat comes once more after a restart, and the lease counts from the answer of the second life.",
        "own: found by the checker of leases (seed 40032 of 3 nodes)",
        False,
        (
            Edit(
                Raft._on_heartbeat,
                "message.confirmed_seq if message.confirmed_life in (0, self._life) else 0",
                "message.confirmed_seq",
            ),
        ),
    ),
    Bug(
        "pause-prolongs-lease",
        0,
        "A process that stood still gives its own lease the time back that it lost.",
        "YugabyteDB issue 915 has a relative of it",
        False,
        (
            Edit(
                Running.notice_stall,
                "self.leases.stalled(late_ns, now_ns)",
                "self.leases.stalled(late_ns, now_ns); self.lease._until_ns += late_ns",
            ),
        ),
    ),
)
