"""Whether a node can be reached: from its connection's break until its next message, no."""

from segment_fixtures import Wire

from walrus.core.peer import Ping
from walrus.core.reachability import PING_NS, Reachability


def test_a_node_counts_as_reachable_until_its_connection_breaks() -> None:
    reachability = Reachability(Wire().out)
    assert not reachability.lost(2)
    reachability.disconnected(2, 0)
    assert (reachability.lost(2), reachability.lost(3)) == (True, False)


def test_a_message_from_a_lost_node_makes_it_reachable_again() -> None:
    reachability = Reachability(Wire().out)
    reachability.disconnected(2, 0)
    reachability.heard(3)
    assert reachability.lost(2)
    reachability.heard(2)
    assert not reachability.lost(2)


def test_a_lost_node_is_asked_whether_it_is_back_until_it_is_heard() -> None:
    wire = Wire()
    reachability = Reachability(wire.out)
    reachability.disconnected(2, 0)
    reachability.tick(PING_NS - 1)
    assert wire.sent() == []
    reachability.tick(PING_NS)
    reachability.tick(PING_NS + 1)
    assert wire.sent() == [(2, Ping(False))]
    reachability.tick(2 * PING_NS)
    assert wire.sent() == [(2, Ping(False))]
    reachability.heard(2)
    reachability.tick(9 * PING_NS)
    assert wire.sent() == []


def test_a_question_is_answered_and_an_answer_is_not() -> None:
    wire = Wire()
    reachability = Reachability(wire.out)
    reachability.pinged(3, Ping(False))
    assert wire.sent() == [(3, Ping(True))]
    reachability.pinged(3, Ping(True))
    assert wire.sent() == []


def test_a_node_without_a_lease_is_certain_of_nobody_until_they_answer_it() -> None:
    """Messages that come are not enough: its own may not arrive."""
    wire = Wire()
    reachability = Reachability(wire.out)
    reachability.doubt([2, 3], 0)
    reachability.tick(0)
    assert wire.sent() == [(2, Ping(False)), (3, Ping(False))]
    reachability.heard(2)
    reachability.pinged(2, Ping(False))
    assert (reachability.uncertain(2), reachability.lost(2)) == (True, False)
    reachability.pinged(2, Ping(True))
    assert (reachability.uncertain(2), reachability.uncertain(3)) == (False, True)
