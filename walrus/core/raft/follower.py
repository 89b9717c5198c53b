"""The receiver's side of AppendEntries (the paper, figure 2)."""

from walrus.core.peer import AppendEntries, AppendReply
from walrus.core.raft.state import RaftState


def append_entries(state: RaftState, message: AppendEntries) -> AppendReply:
    """Take entries from the leader of the current term; return the reply.

    A success reply must not leave before the records drained so far are durable; its ``match_index`` is what
    this message proved, however much more the log holds. Entries that the log has already are left alone: a
    late message must not cut off what a newer one brought.
    """
    log = state.log
    prev_index = message.prev_index
    if log.term(prev_index) != message.prev_term:
        return _refusal(state, prev_index)
    entries = message.entries
    known = 0
    if prev_index < log.last_index:
        while known < len(entries) and log.term(entries[known].index) == entries[known].term:
            known += 1
    if known < len(entries):
        state.append(entries[known:] if known else entries)
    match_index = prev_index + len(entries)
    state.advance_commit(min(message.commit, match_index))
    return AppendReply(state.term, True, match_index, 0, 0, 0)


def _refusal(state: RaftState, prev_index: int) -> AppendReply:
    """Say where the logs part, so that the leader skips a whole term with each refusal."""
    log = state.log
    term = log.term(prev_index)
    if term is None:
        return AppendReply(state.term, False, 0, prev_index, 0, log.last_index + 1)
    return AppendReply(state.term, False, 0, prev_index, term, log.term_start(prev_index))
