"""Bugs in Raft's elections and membership."""

from fuzz.planted.bug import Bug, Edit
from walrus.core.departures import Departures
from walrus.core.group import Group
from walrus.core.joining import Joining
from walrus.core.raft.election import may_grant
from walrus.core.raft.follower import answer_to_stale
from walrus.core.raft.leader import Leader
from walrus.core.raft.raft import Raft
from walrus.core.raft.state import RaftState

BUGS = (
    Bug(
        "change-before-own-commit",
        1,
        "A new leader changes the membership before an entry of its own term is committed.",
        "Raft's single-server changes as first published; Ongaro's correction on raft-dev, 2015",
        True,
        (
            Edit(
                Leader._why_no_change,
                "    if not self.has_committed_in_term:\n"
                '        return "the leader has not committed an entry of its term yet"\n',
                "",
            ),
            Edit(Leader._promote_learner, " or not self.has_committed_in_term", ""),
        ),
    ),
    Bug(
        "two-changes-at-once",
        0,
        "A membership change begins while another one is not committed.",
        "the rule of one server at a time (Ongaro's dissertation, section 4.1)",
        True,
        (
            Edit(
                Leader._why_no_change,
                "    if self._state.membership_change_pending:\n"
                '        return "another membership change is under way"\n',
                "",
            ),
            Edit(Leader._promote_learner, "state.membership_change_pending or ", ""),
        ),
    ),
    Bug(
        "silent-learner",
        4,
        "A node that does not know yet that it was promoted gives no vote, and nobody can be elected.",
        "raft-rs issue 57, etcd pull request 10998",
        True,
        (Edit(Raft._on_request_vote, "granted = may_grant(", "granted = self.is_voter and may_grant("),),
    ),
    Bug(
        "stale-leader-untold",
        4,
        "A node of a newer term does not tell a leader of an older one, and pre-votes never let it catch up.",
        "etcd issue 8501: deadlock with pre-vote",
        True,
        (
            Edit(answer_to_stale, "return HeartbeatReply(term, 0, 0)", "return None"),
            Edit(answer_to_stale, "return AppendReply(term, False, 0, 0, 0, 0)", "return None"),
        ),
    ),
    Bug(
        "vote-not-durable",
        7,
        "A vote leaves before it is durable.",
        "hashicorp/raft issue 661; RobustMQ pull request 2039",
        True,
        (
            Edit(
                Raft._on_request_vote,
                "VoteReply(self.term, True, False), durable=True",
                "VoteReply(self.term, True, False)",
            ),
        ),
    ),
    Bug(
        "candidacy-not-durable",
        7,
        "A candidate asks for votes in a term that it may forget.",
        "the same mistake on the candidate's side",
        True,
        (Edit(Raft._ask_for_votes, "durable=not request.pre", "durable=False"),),
    ),
    Bug(
        "readded-member",
        8,
        "A member is removed and added again in one term, and answers to its first stay are taken for the second.",
        "research note",
        True,
        (Edit(Leader._follow_membership, "self.progress = progress", "self.progress = self.progress | progress"),),
    ),
    Bug(
        "replaced-leader-unheard",
        0,
        "A node that is behind takes the leader's new disk for a stranger's, and can never learn that it is not.",
        "own: found by the simulator, seed 90",
        False,
        (Edit(Group.admits, "kind not in _FROM_LEADERS and kind is not RequestVote", "kind is not None"),),
    ),
    Bug(
        "removed-leader-gives-up",
        0,
        "A leader that crashes before others have the entry that removes it campaigns no more: nobody else can win.",
        "own: found by the random tests of Raft, seed 327; Ongaro's dissertation, section 4.2.2",
        False,
        (Edit(Raft.tick, "if self.may_campaign:", "if self.is_voter:"),),
    ),
    Bug(
        "removed-before-drained",
        0,
        "A node that is to leave is removed while segments need its copies.",
        "nats-server issue 7545 lost records so",
        False,
        (
            Edit(Departures._remove, "if info.state == LEAVING and self._is_named(info.member)", "if not info.member"),
            Edit(Departures._remove, "elif info.state == LEAVING and now_ns", "elif not info.member and now_ns"),
        ),
    ),
    Bug(
        "vote-for-stale-log",
        0,
        "A vote is given without a look at the candidate's log.",
        "the election restriction (Raft paper, section 5.4.1)",
        True,
        (
            Edit(
                may_grant,
                "    if not log.is_up_to_date(request.last_index, request.last_term):\n        return False\n",
                "",
            ),
        ),
    ),
    Bug(
        "two-votes-in-a-term",
        0,
        "A node votes for everyone who asks in a term.",
        "Redpanda pull request 19: votes erased when a leader steps down",
        True,
        (
            Edit(may_grant, "return request.term == term and vote in (0, candidate)", "return request.term == term"),
            Edit(
                RaftState.set_hard_state,
                "    assert term > self.term or (term == self.term and self.vote in (0, vote)), "
                '"a term or vote was taken back"\n',
                "",
            ),
        ),
    ),
    Bug(
        "term-of-one-not-durable",
        0,
        "The only voter of a young cluster speaks of a term that it may forget, and leads it a second time.",
        "own: found while Walrus was written",
        False,
        (Edit(Leader._send, "durable=not self._state.term_durable", "durable=False"),),
    ),
    Bug(
        "joiner-forgotten",
        0,
        "A node taken in by a leader whose successor does not know of it never asks again.",
        "own: found while Walrus was written",
        False,
        (
            Edit(
                Joining._wanted,
                "return not self._raft.is_voter and now_ns - self._heard_ns >= SILENCE_NS",
                "return False",
            ),
        ),
    ),
    Bug(
        "amnesiac-voter",
        0,
        "A voter that lost its disk comes back under its old number and votes as if it remembered.",
        "dragonboat issue 256",
        False,
        (
            Edit(
                Group.admits,
                "self.raft.storage_of.get(envelope.sender, envelope.sender_storage) != envelope.sender_storage",
                "envelope is message",
            ),
            Edit(
                Group.admits,
                "envelope.recipient_storage and envelope.recipient_storage != out.storage_id",
                "envelope is message",
            ),
            Edit(Leader.add_learner, "known is not None and known.storage != info.storage", "known is info"),
            Edit(RaftState._adopt_membership, " and own.storage == self.storage_id", ""),
            Edit(Joining.requested, "elif known.storage == message.storage", "elif known is not None"),
        ),
    ),
)
