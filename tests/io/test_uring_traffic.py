"""What the io_uring driver makes of short writes, cancelled links, half-taken submissions and full queues."""

import errno
import itertools
from collections.abc import Sequence

import pytest
from fake_ring import AGAIN, BROKEN, BUSY, CANCELLED, FULL, INTERRUPTED, FakeRing

from walrus.core.actions import Read, Write
from walrus.io.uring.chain import Chain, Reading, Verdict
from walrus.io.uring.traffic import Traffic


def chain_of(*pieces: bytes) -> Chain:
    offsets = itertools.accumulate((len(piece) for piece in pieces), initial=0)
    return Chain(
        "a", 3, [Write("a", at, piece, n + 1) for n, (at, piece) in enumerate(zip(offsets, pieces, strict=False))]
    )


class Sent:
    """Traffic of operations that are their own owners, sent off over a fake ring."""

    def __init__(self, *operations: Chain | Reading, entries: int = 8, refusals: Sequence[int] = ()) -> None:
        self.ring = FakeRing(entries)
        self.ring.refusals = list(refusals)
        self.wakes = 0
        self.traffic: Traffic[object] = Traffic(self.ring, self._wake)
        for operation in operations:
            self.traffic.begin(operation, operation)
        self.traffic.push()

    def _wake(self) -> None:
        self.wakes += 1

    def judged(self, *results: int) -> list[Verdict]:
        """The verdicts on what is whole once entries came back with these results; what goes on is sent on."""
        self.ring.complete(*results)
        verdicts = []
        for owner, operation in self.traffic.take():
            verdicts.append(operation.judge())
            if verdicts[-1] is Verdict.AGAIN:
                self.traffic.begin(owner, operation)
        self.traffic.push()
        return verdicts


def test_writes_and_their_sync_are_one_submission_and_done_when_all_are_back() -> None:
    sent = Sent(chain_of(b"abc", b"de"))
    assert sent.ring.under_way() == ["write abc at 0", "write de at 3", "sync"]
    assert sent.ring.submissions == 1
    assert sent.judged(3, 2) == []
    assert sent.judged(0) == [Verdict.DONE]


def test_writes_without_a_sync_are_a_chain_that_ends_with_the_last_of_them() -> None:
    """What the ring is given next is another file's, and must not hang on it."""
    writes = [Write("a", 0, b"abc", 1, sync=False), Write("a", 3, b"de", 2, sync=False)]
    sent = Sent(Chain("a", 3, writes), chain_of(b"f"))
    assert sent.ring.under_way() == ["write abc at 0", "write de and no more at 3", "write f at 0", "sync"]
    assert sent.judged(3, 1, 1, 0) == [Verdict.AGAIN, Verdict.DONE]
    assert sent.ring.under_way() == ["write e and no more at 4"]
    assert sent.judged(1) == [Verdict.DONE]


def test_one_sync_at_the_end_serves_writes_with_and_without() -> None:
    sent = Sent(Chain("a", 3, [Write("a", 0, b"abc", 1, sync=False), Write("a", 3, b"", 2)]))
    assert sent.ring.under_way() == ["write abc at 0", "write  at 3", "sync"]
    assert sent.judged(3, 0, BROKEN) == [Verdict.FAILED]


def test_a_short_write_goes_on_from_its_last_byte_with_a_sync_of_its_own() -> None:
    sent = Sent(chain_of(b"abc", b"defg"))
    assert sent.judged(3, 1, CANCELLED) == [Verdict.AGAIN]
    assert sent.ring.under_way() == ["write efg at 4", "sync"]
    assert sent.judged(2, CANCELLED) == [Verdict.AGAIN]
    assert sent.ring.under_way() == ["write g at 6", "sync"]
    assert sent.judged(1, 0) == [Verdict.DONE]


@pytest.mark.parametrize("not_begun", [AGAIN, INTERRUPTED])
def test_a_write_that_was_not_begun_is_begun_again(not_begun: int) -> None:
    sent = Sent(chain_of(b"abc", b"de"))
    assert sent.judged(not_begun, CANCELLED, CANCELLED) == [Verdict.AGAIN]
    assert sent.ring.under_way() == ["write abc at 0", "write de at 3", "sync"]


@pytest.mark.parametrize(
    ("results", "error"),
    [
        pytest.param((BROKEN, CANCELLED, CANCELLED), errno.EIO, id="the first write fails"),
        pytest.param((3, FULL, CANCELLED), errno.ENOSPC, id="the second write fails"),
        pytest.param((3, 2, BROKEN), errno.EIO, id="the sync fails"),
        pytest.param((3, 2, AGAIN), errno.EAGAIN, id="the sync is told to come back later"),
        pytest.param((3, 2, INTERRUPTED), errno.EINTR, id="the sync is interrupted"),
        pytest.param((3, 2, CANCELLED), errno.ECANCELED, id="the sync is cancelled for no reason"),
        pytest.param((3, 0, CANCELLED), errno.EIO, id="a write of two bytes writes none"),
        pytest.param((3, 9, 0), errno.EIO, id="a write of two bytes writes nine"),
        pytest.param((CANCELLED, CANCELLED, CANCELLED), errno.ECANCELED, id="all are cancelled for no reason"),
        pytest.param((1, CANCELLED, BROKEN), errno.EIO, id="a sync that should not have run fails"),
    ],
)
def test_any_other_result_fails_the_chain_with_the_error_that_counts(results: tuple[int, ...], error: int) -> None:
    chain = chain_of(b"abc", b"de")
    sent = Sent(chain)
    assert sent.judged(*results) == [Verdict.FAILED]
    assert chain.error == error
    assert sent.ring.under_way() == []


def test_every_combination_of_results_is_done_only_if_all_succeeded_and_ends() -> None:
    """All 567 ways in which two writes and a sync can come back."""
    transfers = (0, 1, 2, 3, AGAIN, INTERRUPTED, CANCELLED, BROKEN, FULL)
    syncs = (0, 1, AGAIN, INTERRUPTED, CANCELLED, BROKEN, FULL)
    for first, second, sync in itertools.product(transfers, transfers, syncs):
        chain = chain_of(b"ab", b"cd")
        (verdict,) = Sent(chain).judged(first, second, sync)
        hard = {first, second, sync} & {BROKEN, FULL}
        if verdict is Verdict.DONE:
            assert (first, second) == (2, 2)
            assert sync >= 0
        elif verdict is Verdict.FAILED:
            assert chain.error > 0
        else:
            assert not hard
            assert first in (1, AGAIN, INTERRUPTED) or (first == 2 and second in (1, AGAIN, INTERRUPTED))


def test_a_chain_that_was_taken_in_two_halves_is_written_and_synced_again() -> None:
    """Its second half did not wait for the first: the sync may have come before the write."""
    sent = Sent(chain_of(b"abc", b"de"), refusals=[2])
    assert sent.ring.submissions == 2
    assert sent.judged(3, 2, 0) == [Verdict.AGAIN]
    assert sent.ring.under_way() == ["write abc at 0", "write de at 3", "sync"]
    assert sent.judged(3, 2, 0) == [Verdict.DONE]


def test_a_chain_in_two_halves_with_an_error_fails() -> None:
    sent = Sent(chain_of(b"abc", b"de"), refusals=[1])
    assert sent.judged(3, 2, BROKEN) == [Verdict.FAILED]


def test_a_border_between_chains_severs_none() -> None:
    sent = Sent(chain_of(b"a"), chain_of(b"b"), refusals=[2])
    assert sent.judged(1, 0, 1, 0) == [Verdict.DONE, Verdict.DONE]


def test_what_the_kernel_has_no_memory_for_is_submitted_when_something_completes() -> None:
    sent = Sent(chain_of(b"a"))
    sent.ring.refusals = [AGAIN, BUSY]
    sent.traffic.begin(None, chain_of(b"b"))
    sent.traffic.push()
    assert (len(sent.ring.prepared), sent.wakes) == (2, 0)
    assert sent.judged(1) == []
    assert len(sent.ring.prepared) == 2
    assert sent.judged(0) == [Verdict.DONE]
    assert sent.ring.under_way() == ["write b at 0", "sync"]


@pytest.mark.parametrize("refusal", [AGAIN, BUSY, INTERRUPTED, 0])
def test_a_submission_that_takes_nothing_with_nothing_under_way_wakes_the_loop(refusal: int) -> None:
    sent = Sent(chain_of(b"a"), refusals=[refusal])
    assert (sent.ring.under_way(), sent.wakes) == ([], 1)
    sent.traffic.push()
    assert sent.ring.under_way() == ["write a at 0", "sync"]


def test_a_kernel_that_refuses_for_good_ends_the_loop_with_the_errno() -> None:
    with pytest.raises(RuntimeError, match="io_uring_enter failed: EINVAL: Invalid argument"):
        Sent(chain_of(b"a"), refusals=[-errno.EINVAL])


def test_what_does_not_fit_waits_in_order_and_no_chain_is_split() -> None:
    """Eight entries: two chains of three fit, the third waits whole though two entries are free."""
    chains = [chain_of(b"%d" % number, b"x") for number in range(3)]
    sent = Sent(*chains, Reading(Read("a", 7, 5, 9), 3))
    assert len(sent.ring.under_way()) == 6
    assert sent.judged(1, 1, 0) == [Verdict.DONE]
    assert sent.ring.under_way()[3:] == ["write 2 at 0", "write x at 1", "sync", "read 5 at 7"]


def test_a_short_read_goes_on_until_the_end_of_the_file() -> None:
    reading = Reading(Read("a", 10, 6, 1), 3)
    sent = Sent(reading)
    sent.ring.buffers = {0: b"ab....", 1: b"c...", 3: b"d.."}
    assert sent.judged(2) == [Verdict.AGAIN]
    assert sent.ring.under_way() == ["read 4 at 12"]
    assert sent.judged(1) == [Verdict.AGAIN]
    assert sent.judged(INTERRUPTED) == [Verdict.AGAIN]
    assert sent.ring.under_way() == ["read 3 at 13"]
    assert sent.judged(1) == [Verdict.AGAIN]
    assert sent.judged(0) == [Verdict.DONE]
    assert reading.data == b"abcd"


def test_a_read_that_fails_has_the_errno() -> None:
    reading = Reading(Read("a", 0, 6, 1), 3)
    assert Sent(reading).judged(BROKEN) == [Verdict.FAILED]
    assert reading.error == errno.EIO
