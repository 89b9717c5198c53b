"""Copies of an earlier lifetime: scanned, cut or given up before anybody is told how long they are."""

import pytest
from format_disk import Disk

from fuzz.samples import BLOCKS, HEADER, NODE, STORAGE, segment_file
from walrus.core.actions import Action, Log, Read, Truncate, Write
from walrus.core.outbox import Outbox
from walrus.core.segment.opener import Opener
from walrus.core.segment.replica import LOST, READING, READY, UNREAD, Replica, segment_path
from walrus.core.storage.appender import Tokens
from walrus.core.storage.blocks import encode_header

KEY = (HEADER.topic, HEADER.segment)
PATH = segment_path(KEY)


class Opening:
    """One copy, opened from one file (None: there is no file)."""

    def __init__(self, data: bytes | None, *, held: bool) -> None:
        self.disk = Disk()
        if data is not None:
            self.disk.files[PATH] = data
        self.out = Outbox(NODE)
        self.out.storage_id, self.out.cluster = STORAGE, HEADER.cluster
        self.opener = Opener(self.out, Tokens(), self.disk.sizes())
        self.replica = Replica(KEY, UNREAD)
        self.replica.held = held
        self.logs: list[Log] = []
        self.known_at_once = self.opener.open(self.replica)

    def next_action(self) -> Action | None:
        actions = self.out.drain()
        self.logs += [action for action in actions if isinstance(action, Log)]
        rest = [action for action in actions if not isinstance(action, Log)]
        assert len(rest) <= 1
        return rest[0] if rest else None

    def finish(self) -> None:
        """Carry out what is asked for until nothing is; until then the copy is not usable."""
        while (action := self.next_action()) is not None:
            assert self.replica.state == READING
            assert not self.opener.open(self.replica)
            if isinstance(action, Read):
                assert self.opener.read_completed(action.token, self.disk.read(action))
            else:
                assert isinstance(action, Write | Truncate)
                self.disk.change(action)
                assert self.opener.write_completed(action.token)


def test_a_missing_file_that_was_never_noted_is_an_empty_copy() -> None:
    opening = Opening(None, held=False)
    assert opening.known_at_once
    assert (opening.replica.state, opening.replica.length) == (READY, 0)


def test_a_missing_file_that_was_noted_is_a_lost_copy() -> None:
    opening = Opening(None, held=True)
    opening.finish()
    assert opening.known_at_once
    assert opening.replica.state == LOST
    assert [log.level for log in opening.logs] == ["error"]
    assert "missing" in opening.logs[0].text


@pytest.mark.parametrize("held", [False, True])
def test_a_sound_file_opens_at_its_length(held: bool) -> None:
    opening = Opening(segment_file() + bytes(1000), held=held)
    opening.finish()
    replica = opening.replica
    assert opening.opener.opened == [replica]
    assert (replica.state, replica.length, replica.durable_length) == (READY, 6, 6)
    assert replica.appender is not None
    assert replica.appender.durable_end == len(segment_file())
    assert opening.logs == []


@pytest.mark.parametrize("cut", range(1, len(BLOCKS[2]), 9))
def test_a_torn_tail_is_cut_before_the_copy_is_usable(cut: int) -> None:
    opening = Opening(segment_file()[:-cut], held=True)
    opening.finish()
    assert (opening.replica.state, opening.replica.length) == (READY, 4)
    assert opening.disk.files[PATH] == segment_file()[: -len(BLOCKS[2])]
    again = Opening(opening.disk.files[PATH], held=True)
    again.finish()
    assert (again.replica.state, again.replica.length, again.logs) == (READY, 4, [])


def test_a_torn_header_is_cut_to_nothing_and_written_again_with_the_first_batch() -> None:
    opening = Opening(encode_header(HEADER)[:40], held=False)
    opening.finish()
    assert opening.disk.files[PATH] == b""
    assert opening.replica.appender is not None
    assert (opening.replica.state, opening.replica.appender.durable_end) == (READY, 0)


def test_a_hole_makes_the_copy_lost_and_leaves_its_file_alone() -> None:
    data = encode_header(HEADER) + BLOCKS[0] + bytes(len(BLOCKS[1])) + BLOCKS[2]
    opening = Opening(data, held=True)
    opening.finish()
    assert opening.replica.state == LOST
    assert opening.opener.opened == [opening.replica]
    assert opening.disk.files[PATH] == data
    assert "before sound ones" in opening.logs[0].text


def test_a_file_that_cannot_be_read_makes_the_copy_lost() -> None:
    opening = Opening(segment_file(), held=True)
    action = opening.next_action()
    assert isinstance(action, Read)
    assert opening.opener.read_failed(action.token, "EIO: Input/output error")
    opening.finish()
    assert opening.replica.state == LOST
    assert "EIO" in opening.logs[0].text
