"""Who stops asks the others first; who stays commits its cursors before it answers."""

from types import SimpleNamespace

from segment_fixtures import TOPIC, Wire, leading_raft
from segment_owner import Owner

from walrus.core.config import MS
from walrus.core.farewell import Farewells
from walrus.core.peer import Farewell
from walrus.core.proposals import Proposals
from walrus.core.reachability import Reachability

RID = Wire().out.rid()
QUESTION, ANSWER = Farewell(RID, answer=False), Farewell(RID, answer=True)


class Staying:
    """Node 1, through which one record of ``logs`` was read that is not committed."""

    def __init__(self) -> None:
        self.owner = Owner(b"a", b"b")
        wire = self.owner.wire
        self.farewells = Farewells(
            wire.out, self.owner.raft, self.owner.liveness, Reachability(wire.out), self.owner.cursors
        )  # fmt: skip
        self.read(1)

    def read(self, rid: int) -> None:
        self.owner.get(rid)
        self.owner.serve()
        [(_, _, offset, _)] = self.owner.results()
        self.owner.cursors.delivered(TOPIC, 1, offset, delivered=True)

    def answers(self) -> list[int]:
        """Whom it has answered since the last call."""
        self.farewells.tick()
        sent = self.owner.wire.sent()
        assert all(message == ANSWER for _, message in sent)
        return [to for to, _ in sent]


def test_who_stays_answers_once_its_cursors_are_committed() -> None:
    node = Staying()
    node.farewells.heard(3, QUESTION)
    [(rid, _)] = node.owner.commits()
    assert node.answers() == []
    assert node.owner.cursors.committed(rid)
    assert node.answers() == [3]
    assert node.answers() == []


def test_what_is_read_after_the_question_is_not_waited_for() -> None:
    node = Staying()
    node.farewells.heard(3, QUESTION)
    [(rid, _)] = node.owner.commits()
    node.read(2)
    node.farewells.heard(3, QUESTION)
    assert node.owner.cursors.committed(rid)
    node.farewells.tick()
    assert (3, ANSWER) in node.owner.wire.sent()


def test_a_cursor_that_went_to_another_node_is_not_waited_for() -> None:
    node = Staying()
    node.farewells.heard(3, QUESTION)
    node.owner.commits()
    node.owner.cursors.disown(TOPIC, 1)
    assert node.answers() == [3]


def test_who_has_nothing_to_commit_answers_at_once() -> None:
    node = Staying()
    node.owner.cursors.disown(TOPIC, 1)
    node.farewells.heard(2, QUESTION)
    assert node.answers() == [2]


def leaving(live: tuple[int, ...]) -> tuple[Farewells, Wire, Reachability]:
    """Node 1 of three, which stops."""
    wire = Wire()
    reachability = Reachability(wire.out)
    raft, liveness = leading_raft(1, (1, 2, 3)), SimpleNamespace(live=live)
    return Farewells(wire.out, raft, liveness, reachability, SimpleNamespace()), wire, reachability  # type: ignore[arg-type]


def test_who_stops_asks_the_others_until_they_answer() -> None:
    farewells, wire, _ = leaving((1, 2, 3))
    assert not farewells.ask()
    assert wire.sent() == [(2, QUESTION), (3, QUESTION)]
    farewells.heard(2, ANSWER)
    assert not farewells.ask()
    assert wire.sent() == [(3, QUESTION)]
    farewells.heard(3, ANSWER)
    assert farewells.ask()
    assert wire.sent() == []


def test_an_answer_to_an_earlier_stop_counts_for_nothing() -> None:
    farewells, wire, _ = leaving((1, 2))
    farewells.heard(2, Farewell(7, answer=True))
    assert not farewells.ask()
    farewells.heard(2, Farewell(7, answer=True))
    assert not farewells.ask()
    assert wire.sent() == [(2, QUESTION)] * 2


def test_the_dead_and_the_unreachable_are_not_asked() -> None:
    farewells, wire, reachability = leaving((1, 3))
    assert farewells.others() == [3]
    reachability.disconnected(3, 0)
    assert farewells.ask()
    assert wire.sent() == []


def test_a_proposal_follows_the_leadership_at_once() -> None:
    wire, raft = Wire(), SimpleNamespace(leader=2)
    proposals = Proposals(wire.out, raft)  # type: ignore[arg-type]
    proposals.submit(b"command")
    proposals.flush(0)
    proposals.tick(1 * MS)
    assert [to for to, _ in wire.sent()] == [2]
    raft.leader = 3
    proposals.tick(2 * MS)
    assert [to for to, _ in wire.sent()] == [3]
