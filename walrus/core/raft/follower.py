"""The receiver's side of AppendEntries (the paper, figure 2) and of InstallSnapshot (figure 13)."""

import msgspec

from walrus.core.peer import (
    AppendEntries,
    AppendReply,
    Heartbeat,
    HeartbeatReply,
    InstallSnapshot,
    RaftMessage,
    RequestVote,
    SnapshotReply,
    VoteReply,
)
from walrus.core.raft.state import RaftState


def answer_to_stale(term: int, message: RaftMessage) -> RaftMessage | None:
    """Tell a sender of an older term of the newer one; stale replies need no answer.

    The answer names nothing of the old term: that term's seq or index would mean something else to a leader of this
    one.
    """
    match message:
        case Heartbeat():
            return HeartbeatReply(term, 0, 0)
        case AppendEntries():
            return AppendReply(term, False, 0, 0, 0, 0)
        case InstallSnapshot():
            return SnapshotReply(term, 0, 0, 0, False)
        case RequestVote():
            return VoteReply(term, False, message.pre)
    return None


def append_entries(state: RaftState, message: AppendEntries) -> AppendReply:
    """Take entries from the leader of the current term; return the reply.

    A success reply must not leave before the records drained so far are durable; its ``match_index`` is what
    this message proved, however much more the log holds. Entries that the log has already are left alone: a
    late message must not cut off what a newer one brought.
    """
    log = state.log
    prev_index = message.prev_index
    entries = message.entries
    if prev_index < log.snapshot_index:
        return _overlapping(state, message)
    if log.term(prev_index) != message.prev_term:
        return _refusal(state, prev_index)
    known = 0
    if prev_index < log.last_index:
        while known < len(entries) and log.term(entries[known].index) == entries[known].term:
            known += 1
    if known < len(entries):
        state.append(entries[known:] if known else entries)
    match_index = prev_index + len(entries)
    state.advance_commit(min(message.commit, match_index))
    return AppendReply(state.term, True, match_index, 0, 0, 0)


def _overlapping(state: RaftState, message: AppendEntries) -> AppendReply:
    """Take entries that begin below what the log still holds.

    Those were committed, so the leader of the current term has the same ones: they match without being compared.
    """
    skipped = state.log.snapshot_index - message.prev_index
    if len(message.entries) <= skipped:
        return AppendReply(state.term, True, message.prev_index + len(message.entries), 0, 0, 0)
    rest = msgspec.structs.replace(
        message,
        prev_index=state.log.snapshot_index,
        prev_term=message.entries[skipped - 1].term,
        entries=message.entries[skipped:],
    )
    return append_entries(state, rest)


def _refusal(state: RaftState, prev_index: int) -> AppendReply:
    """Say where the logs part, so that the leader skips a whole term with each refusal."""
    log = state.log
    term = log.term(prev_index)
    if term is None:
        return AppendReply(state.term, False, 0, prev_index, 0, log.last_index + 1)
    return AppendReply(state.term, False, 0, prev_index, term, log.term_start(prev_index))


def install_snapshot(state: RaftState, message: InstallSnapshot) -> SnapshotReply:
    """Take a piece of a snapshot from the leader of the current term; return the reply.

    What this node has committed the snapshot's sender has committed too, so an older snapshot is as good as installed.
    """
    if message.index <= state.commit_index:
        return SnapshotReply(state.term, message.index, message.checksum, message.total, True)
    received = state.receiver.take(message)
    if received is not None:
        state.out.received = received
    return SnapshotReply(state.term, message.index, message.checksum, state.receiver.received(message), False)
