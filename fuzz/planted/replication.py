"""Bugs in Raft's replication, commitment and reads."""

from fuzz.planted.bug import Bug, Edit
from walrus.core.raft.follower import append_entries
from walrus.core.raft.leader import Leader
from walrus.core.raft.raft import Raft
from walrus.core.raft.state import RaftState

BUGS = (
    Bug(
        "unsorted-commit",
        2,
        "The commit index is the middle of the match indexes as they stand, not in their order.",
        "raft-java issue 21 has a relative of it",
        True,
        (Edit(Leader.maybe_commit, "index = quorum_value(matches)", "index = matches[len(matches) // 2]"),),
    ),
    Bug(
        "heartbeat-commits-unchecked",
        5,
        "A heartbeat commits whatever stands in the follower's log, without the log-matching check.",
        "ScyllaDB issue 9965, copycat issue 265, tinykv issue 191",
        True,
        (
            Edit(
                Leader._start_round,
                "commit = min(state.commit_index, progress.match_index)",
                "commit = state.commit_index",
            ),
            Edit(
                Raft._on_heartbeat,
                "self.advance_commit(message.commit)",
                "self.advance_commit(min(message.commit, self.log.last_index))",
            ),
        ),
    ),
    Bug(
        "older-term-counted",
        6,
        "A leader commits an entry of an older term because a quorum holds it.",
        "Raft paper, figure 8",
        True,
        (Edit(Leader.maybe_commit, "if index >= self.first_index:", "if index > 0:"),),
    ),
    Bug(
        "commit-goes-back",
        6,
        "A late message takes the commit index back.",
        "raft.tla issue 18, CCF issue 5325 (its match index)",
        True,
        (Edit(RaftState.advance_commit, "if index <= self.commit_index:", "if index == self.commit_index:"),),
    ),
    Bug(
        "match-beyond-proof",
        0,
        "A follower reports its whole log as matching, not what the message proved.",
        "Raft paper, figure 2; CCF issue 5325",
        True,
        (
            Edit(
                append_entries,
                "return AppendReply(state.term, True, match_index, 0, 0, 0)",
                "return AppendReply(state.term, True, log.last_index, 0, 0, 0)",
            ),
        ),
    ),
    Bug(
        "entries-not-durable",
        0,
        "A follower acknowledges entries before they are durable.",
        "TiKV issue 994, YugabyteDB issue 32875",
        True,
        (Edit(Raft.step, "self.send(sender, reply, durable=reply.success)", "self.send(sender, reply)"),),
    ),
    Bug(
        "leader-counts-undurable",
        0,
        "A leader counts itself for entries that are not durable on its own disk.",
        "goraft pull request 150, d-engine pull request 447",
        True,
        (
            Edit(
                Leader.maybe_commit,
                "state.persisted_index if node == state.node_id",
                "state.log.last_index if node == state.node_id",
            ),
        ),
    ),
    Bug(
        "late-completion",
        9,
        "A write that completes late vouches for entries that replaced the written ones since.",
        "etcd/raft pull request 8 describes it (ABA)",
        True,
        (
            Edit(
                Raft.persisted,
                "if index <= self.persisted_index or self.log.term(index) != term:",
                "if index <= self.persisted_index or index > self.log.last_index:",
            ),
        ),
    ),
    Bug(
        "previous-term-unchecked",
        0,
        "A follower appends behind an entry of whatever term.",
        "akka-raft issue 32",
        True,
        (Edit(append_entries, "if log.term(prev_index) != message.prev_term:", "if log.term(prev_index) is None:"),),
    ),
    Bug(
        "late-append-truncates",
        0,
        "A late AppendEntries cuts off what a newer one brought.",
        "Raft paper, figure 2, rule 3; openraft pull request 509",
        True,
        (
            Edit(
                append_entries,
                "    if known < len(entries):\n        state.append(entries[known:] if known else entries)\n",
                "    if entries:\n        state.append(entries)\n",
            ),
            Edit(
                RaftState.append,
                '        assert first > self.commit_index, f"entry {first} is committed and cannot be replaced"\n',
                "",
            ),
        ),
    ),
    Bug(
        "read-without-round",
        0,
        "A leader answers a read index without asking a quorum whether it still leads.",
        "etcd issue 741, Consul issue 54 (Jepsen, 2014)",
        True,
        (
            Edit(
                Leader.request_read,
                "self.rounds.waiting_reads.append(ticket)",
                "self._state.out.reads.append((ticket, self._state.commit_index))",
            ),
        ),
    ),
    Bug(
        "read-before-own-commit",
        0,
        "A new leader answers a read index before it knows what is committed.",
        "etcd issue 7331",
        True,
        (
            Edit(Leader._want_read_round, " and self.has_committed_in_term", ""),
            Edit(
                Leader._start_round,
                "    if self.has_committed_in_term:\n        rounds.carry_reads(state.commit_index)\n",
                "    rounds.carry_reads(state.commit_index)\n",
            ),
        ),
    ),
)
