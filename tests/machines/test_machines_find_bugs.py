"""Each machine finds bugs that are planted in the core (:mod:`fuzz.planted`); one that finds none proves nothing.

The stories are the same every time. Where a bug is found is up to the machine, so any failure of a story counts but an
error of the machine itself: the sound core passes the same stories in the tests of the machines.
"""

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test
from test_cluster_machine import ClusterMachine
from test_raft_machine import LeaseMachine, RaftMachine
from test_recovery_machine import RecoveryMachine
from test_storage_machine import StorageMachine
from test_wire_machine import WireMachine

from fuzz.planted.bug import Bug, Edit
from fuzz.planted.catalogue import BUGS
from walrus.core.clients import ClientSessions
from walrus.core.raft.state import EntriesLost
from walrus.core.storage.recordlog import RecoveryError
from walrus.sim.world import Violation

STORIES_MAX = 100
ATTEMPTS_MAX = 8  # with stories of their own
FINDINGS = (AssertionError, EntriesLost, Violation, RecoveryError)
OF_CLIENTS = (
    Bug(
        "replies-reversed",
        0,
        "Of several replies that may leave at once the last goes first.",
        "own",
        False,
        (Edit(ClientSessions._settle, "ready.append(framed)", "ready.insert(0, framed)"),),
    ),
    Bug(
        "paused-for-ever",
        0,
        "A client that was not read because it had asked for too much is never read again.",
        "own",
        False,
        (Edit(ClientSessions._settle, "if connection.paused and not self._stopping:", "if self._stopping:"),),
    ),
    Bug(
        "half-frames-for-ever",
        0,
        "A frame that never becomes whole keeps its connection open for ever.",
        "own",
        False,
        (Edit(ClientSessions.tick, "if connection.deadline_ns > now_ns:", "if connection.deadline_ns > 0:"),),
    ),
)
NAMED = {bug.name: bug for bug in (*BUGS, *OF_CLIENTS)}
FOUND: dict[type[RuleBasedStateMachine], tuple[str, ...]] = {
    ClusterMachine: ("commit-goes-back", "restarted-writer-resumes", "seal-before-drain"),
    RaftMachine: ("commit-goes-back", "unsorted-commit", "entries-not-durable"),
    LeaseMachine: ("lease-from-receipt", "endless-lease", "impatient-leader", "no-drift-margin"),
    RecoveryMachine: ("seal-before-drain", "restarted-writer-resumes", "one-copy-acknowledges", "copy-not-durable"),
    StorageMachine: ("middle-taken-for-tail", "fence-not-durable", "torn-tail-kept", "lost-copy-counted"),
    WireMachine: tuple(bug.name for bug in OF_CLIENTS),
}


@pytest.mark.parametrize(
    ("machine", "bug"),
    [(machine, bug) for machine, bugs in FOUND.items() for bug in bugs],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_the_machine_finds_the_bug(machine: type[RuleBasedStateMachine], bug: str) -> None:
    stories = settings(
        max_examples=STORIES_MAX,
        stateful_step_count=40,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    for number in range(1, ATTEMPTS_MAX + 1):
        seeded = seed(number)(type(machine.__name__, (machine,), {}))
        with NAMED[bug].planted():
            try:
                run_state_machine_as_test(seeded, settings=stories)
            except FINDINGS:
                return
    pytest.fail(f"{bug} was not found in {ATTEMPTS_MAX} times {STORIES_MAX} stories")
