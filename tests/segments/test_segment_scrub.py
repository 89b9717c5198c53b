"""Sealed copies are looked through at a bounded rate, found unsound where they are, and handed to the repairs."""

import pytest
from segment_copies import PATH, Copies, one
from segment_fixtures import KEY, sealed

from walrus.core.actions import Log, Read
from walrus.core.config import MS, SECOND, NodeConfig
from walrus.core.segment.replica import LOST, READY, UNREAD
from walrus.core.segment.scrub import READ_BYTES_LEAST, Scrub
from walrus.core.storage.appender import Tokens


class Scrubbed(Copies):
    """Node 2 holds a sealed copy of three records of one KiB."""

    def __init__(self, **settings: int) -> None:
        self.settings = {"scrub_bytes_per_s": 1 << 20, "scrub_interval_ns": 10 * SECOND} | settings
        super().__init__()
        self.filled(*[b"%d" % number * 1024 for number in range(3)])
        self.store.reconcile(self.replica, sealed(self.metadata, 3))
        self.settle()
        assert self.replica.complete

    def start(self) -> None:
        super().start()
        self.now_ns = 0
        tokens = Tokens()
        for _ in range(1000):
            tokens.take()  # other numbers than the store's
        config = NodeConfig(node_id=2, advertise_address="node2:6001", **self.settings)  # type: ignore[arg-type]
        self.scrub = Scrub(self.wire.out, config, tokens, self.store, 0)

    def wait(self, duration_ns: int) -> int:
        """Time passes, and reads are answered; how many bytes were read."""
        read_bytes = 0
        for _ in range(duration_ns // (40 * MS)):
            self.now_ns += 40 * MS
            self.scrub.tick(self.now_ns)
            while reads := [action for action in self.wire.out.actions if isinstance(action, Read)]:
                (read,) = reads
                self.wire.out.actions.remove(read)
                data = bytes(self.files[PATH][read.offset : read.offset + read.length])
                if self.scrub.read_completed(read.token, data):
                    read_bytes += len(data)
                else:
                    assert self.store.read_completed(read.token, data)
        return read_bytes

    def damage(self, at: int = -1) -> None:
        self.files[PATH][at] ^= 1

    def said_in_the_log(self) -> list[str]:
        return [action.text for action in self.wire.out.actions if isinstance(action, Log)]


@pytest.mark.parametrize("at", [600, 1800, -1])
def test_rot_in_a_copy_that_nobody_reads_is_found_and_said_with_file_and_byte(at: int) -> None:
    copies = Scrubbed()
    copies.damage(at)
    copies.wait(11 * SECOND)
    assert not copies.replica.complete
    assert copies.replica.state == LOST
    assert KEY in copies.store.progressed, "the repairs hear of it"
    assert any(PATH in text and "byte" in text for text in copies.said_in_the_log())


@pytest.mark.parametrize("at", [600, -1])
def test_a_copy_that_this_process_has_not_opened_yet_is_looked_through_too(at: int) -> None:
    copies = Scrubbed()
    copies.damage(at)
    copies.start()
    assert (copies.replica.state, copies.replica.complete) == (UNREAD, True)
    copies.wait(11 * SECOND)
    copies.settle()
    assert not copies.replica.complete


def test_a_sound_copy_stays_what_it_is() -> None:
    copies = Scrubbed()
    assert copies.wait(11 * SECOND) == len(copies.files[PATH])
    assert (copies.replica.state, copies.replica.complete) == (READY, True)
    assert copies.said_in_the_log() == []


def test_a_round_begins_once_per_interval() -> None:
    copies = Scrubbed(scrub_interval_ns=2 * SECOND)
    assert copies.wait(11 * SECOND) == 5 * len(copies.files[PATH])


def test_no_more_is_read_than_the_rate_allows() -> None:
    copies = Scrubbed(scrub_interval_ns=40 * MS, scrub_bytes_per_s=2 * READ_BYTES_LEAST)
    size = len(copies.files[PATH])
    assert size < READ_BYTES_LEAST
    seconds = 20
    read = copies.wait(seconds * SECOND)
    assert 2 * seconds - 2 <= read // size <= 2 * seconds + 2


def test_a_rate_of_nothing_reads_nothing() -> None:
    copies = Scrubbed(scrub_bytes_per_s=0)
    assert copies.wait(60 * SECOND) == 0


def test_a_copy_that_cannot_be_read_is_unsound() -> None:
    copies = Scrubbed()
    copies.now_ns = 10 * SECOND
    copies.scrub.tick(copies.now_ns)
    (read,) = [action for action in copies.wire.out.actions if isinstance(action, Read)]
    assert copies.scrub.read_failed(read.token, "EIO: Input/output error")
    assert copies.replica.state == LOST


def test_a_copy_that_is_dropped_while_it_is_read_is_let_go() -> None:
    copies = Scrubbed()
    copies.scrub.tick(10 * SECOND)
    (read,) = [action for action in copies.wire.out.actions if isinstance(action, Read)]
    copies.wire.out.actions.remove(read)
    copies.replica.complete = False
    assert copies.scrub.read_completed(read.token, one(0, b"anything"))
    assert copies.wait(5 * SECOND) == 0
    assert not copies.scrub.read_completed(read.token, b"")
