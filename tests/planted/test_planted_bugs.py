"""Every planted bug does to the core what it says, and nothing of it is left behind."""

import pytest
import scenes_clauses
import scenes_clients
import scenes_copies
import scenes_durability
import scenes_founders
import scenes_raft
import scenes_segments
import scenes_snapshots
import scenes_survivors
import scenes_topics
from scene import SCENES, Scene

from fuzz.planted.bug import Bug, CannotPlant, Edit, changed_code
from fuzz.planted.catalogue import BUGS
from walrus.core.lease import Lease
from walrus.core.raft.raft import Raft
from walrus.core.raft.rounds import HeartbeatRounds

PLANTED = [bug for bug in BUGS if bug.edits]
PLAYS = (
    *(scenes_raft, scenes_snapshots, scenes_segments, scenes_copies),
    *(scenes_clauses, scenes_clients, scenes_topics, scenes_survivors, scenes_founders),
    scenes_durability,
)


def bug_with(*edits: Edit) -> Bug:
    return Bug("of-a-test", 0, "Says.", "here", False, edits)


def test_every_bug_has_a_scene_and_every_scene_a_bug() -> None:
    assert PLAYS
    assert sorted(SCENES) == sorted(bug.name for bug in PLANTED)


@pytest.mark.parametrize("bug", PLANTED, ids=lambda bug: bug.name)
def test_a_bug_changes_what_its_scene_shows_and_only_while_it_is_planted(bug: Bug) -> None:
    scene: Scene = SCENES[bug.name]
    assert scene.play() == scene.sound
    with bug.planted():
        assert scene.play() == scene.broken
    assert scene.play() == scene.sound


def test_names_are_unique_and_the_whole_research_note_is_there() -> None:
    assert len({bug.name for bug in BUGS}) == len(BUGS)
    assert {bug.number for bug in BUGS} == set(range(23))
    assert [bug.number or 99 for bug in BUGS] == sorted(bug.number or 99 for bug in BUGS)


def test_a_bug_either_is_planted_or_says_what_it_waits_for() -> None:
    assert [bug.name for bug in BUGS if bool(bug.edits) == bool(bug.waits_for)] == []


def test_a_bug_that_waits_cannot_be_planted() -> None:
    waiting = Bug("slow-light", 0, "Light is too slow.", "physics", False, waits_for="faster light")
    with pytest.raises(CannotPlant, match="slow-light waits for faster light"), waiting.planted():
        pass


def test_the_core_is_sound_again_after_an_error_in_the_run() -> None:
    sound = Lease.valid.__code__
    seen = []

    def run() -> None:
        with next(bug for bug in BUGS if bug.name == "endless-lease").planted():
            seen.append(Lease.valid.__code__)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run()
    assert [code is sound for code in seen] == [False]
    assert Lease.valid.__code__ is sound


@pytest.mark.parametrize(
    ("was", "now", "complaint"),
    [
        ("now_ns > self.until_ns(now_ns)", "True", "0 times"),
        ("now_ns", "True", "times, not once"),
        ("return", "return return", "no Python"),
        ("(self, now_ns: int)", "(self, then_ns: int)", "other parameters"),
    ],
)
def test_a_bug_that_does_not_fit_the_core_says_so(was: str, now: str, complaint: str) -> None:
    with pytest.raises(CannotPlant, match=complaint):
        changed_code(bug_with(Edit(Lease.valid, was, now)))


def test_only_functions_written_in_python_can_have_a_bug() -> None:
    with pytest.raises(CannotPlant, match="no function"):
        changed_code(bug_with(Edit(len, "a", "b")))


def test_a_function_that_says_super_can_have_a_bug() -> None:
    edit = Edit(Raft.__init__, "self.leader = 0", "self.leader = 5")
    with bug_with(edit).planted():
        assert scenes_raft.raft(1).leader == 5
    assert scenes_raft.raft(1).leader == 0


def test_a_changed_function_keeps_its_name_and_its_place_in_the_file() -> None:
    edit = Edit(HeartbeatRounds.is_reading, "return bool(self._reading)", "return True")
    getter = HeartbeatRounds.is_reading.fget  # type: ignore[attr-defined]
    code = changed_code(bug_with(edit))[getter]
    sound = getter.__code__
    assert (code.co_filename, code.co_firstlineno) == (sound.co_filename, sound.co_firstlineno)
    assert (code.co_name, code.co_qualname) == (sound.co_name, sound.co_qualname)
