"""Copies on a full disk are left behind: they tell so, count as what they durably are, and block nobody."""

from segment_copies import PATH, Copies, one
from segment_fixtures import KEY
from segment_writing import Writing

from walrus.core.actions import Write
from walrus.core.segment.messages import (
    ACCEPTED,
    DONE,
    NO_ROOM,
    NO_SPACE,
    AppendAck,
    FenceReply,
)
from walrus.core.segment.targets import PROBE_AFTER_NS


class FullCopies(Copies):
    def run_out(self) -> Write:
        """The oldest write of the copy finds no room."""
        self.requests()
        found = next(action for action in self.disk if isinstance(action, Write) and action.path == PATH)
        self.disk.remove(found)
        self.store.has_no_room()
        assert self.store.space_ran_out(found)
        self.store.flush()
        return found

    def answers(self) -> list[tuple[int, int, int]]:
        """(node, status, length) of the answers since the last call."""
        return [(to, m.status, m.length) for to, m in self.said() if isinstance(m, AppendAck | FenceReply)]


def two_and_no_room_for_the_third() -> FullCopies:
    copies = FullCopies()
    copies.filled(b"a", b"b")
    copies.append(2, one(2, b"c"))
    copies.append(3, one(3, b"d"))
    copies.run_out()
    return copies


def test_a_batch_without_room_is_as_if_it_had_never_come() -> None:
    copies = two_and_no_room_for_the_third()
    assert copies.answers() == [(1, NO_ROOM, 2)]
    assert (copies.replica.length, copies.replica.durable_length) == (2, 2)
    assert copies.waiting() == []
    assert copies.replica.settled


def test_a_full_disk_refuses_batches_and_answers_probes_with_what_is_durable() -> None:
    copies = two_and_no_room_for_the_third()
    copies.said()
    copies.append(2, one(2, b"c"))
    assert copies.answers() == [(1, NO_ROOM, 2)]
    copies.append(2, b"")
    assert copies.answers() == [(1, ACCEPTED, 2), (1, NO_ROOM, 2)]
    copies.append(1, one(1, b"b"))
    assert copies.answers() == [(1, ACCEPTED, 2), (1, NO_ROOM, 2)], "a duplicate needs no room"


def test_with_room_the_copy_goes_on_where_it_was_left() -> None:
    copies = two_and_no_room_for_the_third()
    copies.said()
    copies.store.has_room()
    copies.append(2, one(2, b"c"))
    copies.settle()
    assert copies.answers() == [(1, ACCEPTED, 3)]
    assert copies.files[PATH].endswith(one(2, b"c"))


def test_the_very_first_batch_may_find_no_room() -> None:
    copies = FullCopies()
    copies.append(0, one(0, b"a"))
    copies.run_out()
    assert copies.answers() == [(1, NO_ROOM, 0)]
    copies.store.has_room()
    copies.filled(b"a")
    copies.start()
    assert not copies.store.open(copies.replica)
    copies.settle()
    assert copies.replica.durable_length == 1


def test_a_full_copy_answers_a_fence_with_what_is_durable() -> None:
    copies = two_and_no_room_for_the_third()
    copies.said()
    copies.fence(5)
    copies.settle()
    assert copies.answers() == [(3, ACCEPTED, 2)]


def test_the_writers_own_copy_waits_for_room_since_others_are_fed_from_it() -> None:
    copies = FullCopies()
    copies.append(0, one(0, b"a"), sender=2)
    refused = copies.run_out()
    assert copies.replica.length == 1
    assert not copies.replica.settled
    copies.store.has_room()
    copies.requests()
    assert list(copies.disk)[-1] == refused
    copies.settle()
    assert copies.replica.durable_length == 1


def test_a_fence_ends_the_wait_of_the_writers_own_copy() -> None:
    copies = FullCopies()
    copies.append(0, one(0, b"a"), sender=2)
    copies.run_out()
    copies.fence(5)
    copies.settle()
    assert copies.answers() == [(3, ACCEPTED, 0)]
    copies.store.has_room()
    assert copies.waiting() == []
    assert copies.store.replicas[KEY].length == 0


# --- the writer ---


def test_a_copy_without_room_does_not_hold_up_the_others() -> None:
    writing = Writing()
    writing.put(b"a")
    writing.sent()
    writing.ack(3, 0, NO_ROOM)
    writing.ack(1, 1)
    writing.ack(2, 1)
    assert writing.results() == [(DONE, [b"a"])]
    writing.put(b"b")
    assert [to for to, _, _ in writing.sent()] == [1, 2], "nothing is sent where there is no room"
    assert writing.writer.full_node == 0


def test_a_copy_without_room_is_probed_and_caught_up_once_it_has_some() -> None:
    writing = Writing()
    writing.put(b"a")
    writing.ack(3, 0, NO_ROOM)
    writing.ack(1, 1)
    writing.ack(2, 1)
    writing.sent()
    writing.writer.tick(PROBE_AFTER_NS)
    assert writing.sent() == [(3, 0, [])]
    writing.ack(3, 0)
    writing.ack(3, 0, NO_ROOM)
    assert writing.writer.lagging() == []
    writing.ack(3, 0)
    assert [target.member[0] for target in writing.writer.lagging()] == [3]


def test_a_copy_that_lacks_nothing_is_probed_too_until_it_has_room() -> None:
    """Else it would count as full for ever, and keep PUTs from being taken."""
    writing = Writing()
    writing.ack(3, 0, NO_ROOM)
    writing.writer.tick(PROBE_AFTER_NS)
    assert writing.sent() == [(3, 0, [])]
    writing.ack(3, 0)
    writing.writer.tick(2 * PROBE_AFTER_NS)
    assert writing.sent() == []


def test_puts_are_refused_when_too_few_copies_have_room() -> None:
    writing = Writing()
    writing.ack(2, 0, NO_ROOM)
    writing.ack(3, 0, NO_ROOM)
    assert writing.writer.full_node == 2
    writing.put(b"a", lease=False)
    writing.writer.refuse(writing.writer.full_node)
    ((status, waited),) = writing.writer.results
    assert status == NO_SPACE
    assert [(pending.payload, pending.full_node) for pending in waited] == [(b"a", 2)]
    writing.ack(3, 0)
    assert writing.writer.full_node == 0
