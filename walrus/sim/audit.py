"""After the faults: is the cluster well again, does it take writes, and what does it hold?"""

from walrus.sim import probe
from walrus.sim.client import Link
from walrus.sim.cluster import Cluster
from walrus.sim.convergence import check_copies, left_over, unsettled
from walrus.sim.deeds.clients import Request
from walrus.sim.healing import newest_metadata, out_of_reach
from walrus.sim.history import DONE, EMPTY_REPLY, History, Operation
from walrus.sim.rng import Rng
from walrus.sim.world import MS, Violation

_STEP_NS = 2 * MS
_REQUESTS_AT_ONCE = 24
_GRACE_NS = 300 * MS
_ANSWER_WITHIN_NS = 3_000 * MS


class Auditor:
    """A patient client that asks one thing at a time, running the world until it is answered.

    ``excused``: from which global offset on a topic cannot be read, because too few of its copies are within reach.
    """

    def __init__(self, cluster: Cluster, history: History, rng: Rng, give_up_ns: int) -> None:
        self._cluster = cluster
        self._history = history
        self._link = Link(0, cluster.world, cluster.streams, history)
        self._rng = rng
        self._give_up_ns = give_up_ns
        self._puts = 0
        self.excused: dict[str, int] = {}
        self.cut_short: dict[str, bool] = {}
        self.earliest: dict[str, tuple[int, int]] = {}  # where the last scan began: number of a segment, its offset

    def settle(self, *, alone: bool = False) -> None:
        """Run until the cluster is well; raise :class:`Violation` if it is not in time.

        ``alone``: all clients have gone, so nothing may be left over either.
        """
        cluster, world = self._cluster, self._cluster.world
        while why := self._missing(alone):
            if world.now_ns >= self._give_up_ns:
                raise Violation(f"liveness: the cluster does not become well after the faults: {why}")
            world.run_until(world.now_ns + 20 * MS)
        check_copies(cluster, self.excused)

    def _missing(self, alone: bool) -> str:
        """What is missing now; what is excused is reckoned from the same state, since an older one may know less."""
        self.excused = {}
        why = self._missing_but(self.excused, alone)
        if why and (excused := out_of_reach(self._cluster)):
            self.excused = excused
            why = self._missing_but(excused, alone)
        return why

    def _missing_but(self, excused: dict[str, int], alone: bool) -> str:
        cluster = self._cluster
        return unsettled(cluster, excused) or (left_over(cluster, excused) if alone else "")

    def prove_writable(self, topic: str) -> None:
        """Some node acknowledges a PUT to ``topic`` in time."""
        last: Operation | None = None
        while self._cluster.world.now_ns < self._give_up_ns:
            self._puts += 1
            asked = self._ask([Request("REGISTER", topic), Request("PUT", topic, f"audit-{self._puts}")])
            last = asked[-1] if asked else last
            if last is not None and last.outcome == DONE:
                return
            self.excused = out_of_reach(self._cluster)
            if topic in self.excused:
                return
        raise Violation(f"liveness: topic {topic} takes no PUT after the faults; last: {last}")

    def scan(self, topic: str) -> list[bytes]:
        """All records of ``topic`` that are left through FETCH, from random nodes; ``cut_short``: those in reach."""
        records: list[bytes] = []
        self.cut_short.pop(topic, None)
        first, base = self.earliest[topic] = self._earliest(topic)
        while self._cluster.world.now_ns < self._give_up_ns:
            if self._earliest(topic) != (first, base):
                records, base = records[self._earliest(topic)[1] - base :], self._earliest(topic)[1]
                first = self._earliest(topic)[0]
                self.earliest[topic] = (first, base)
            start = len(records)
            asked = self._ask([Request("FETCH", topic, "", start + n, first) for n in range(_REQUESTS_AT_ONCE)])
            for position, op in enumerate(asked):
                if op.outcome == DONE:
                    records.append(op.delivered)
                elif op.outcome != EMPTY_REPLY or any(later.outcome == DONE for later in asked[position:]):
                    break  # or it grows yet: by what was under way when its client gave up
                else:
                    return records
            if base + len(records) >= self.excused.get(topic, base + len(records) + 1):
                self.cut_short[topic] = True
                return records
        raise Violation(f"liveness: topic {topic} cannot be read to its end, only {len(records)} records")

    def scan_if_there(self, topic: str) -> list[bytes]:
        """All records of a topic that may not exist."""
        state = newest_metadata(self._cluster.core)
        return self.scan(topic) if state is not None and topic in state.topics else []

    def _earliest(self, topic: str) -> tuple[int, int]:
        """Number and offset of the first segment that is left."""
        state = newest_metadata(self._cluster.core)
        found = state.topics.get(topic) if state is not None else None
        return (found.first.number, found.first.base) if found is not None else (1, 0)

    def drain(self, topics: list[str]) -> None:
        """GET all there is, wait until what could not be delivered is due again, and GET that."""
        cluster, world = self._cluster, self._cluster.world
        for topic in topics:
            self._drain(topic)
        patience_ns = 2 * max(host.config.rpc_timeout_ns for host in cluster.hosts) + _GRACE_NS
        until = world.now_ns + patience_ns
        while world.now_ns < until and any(probe.undelivered(host) for host in cluster.core):
            world.run_until(world.now_ns + 20 * MS)
        for topic in topics:
            self._drain(topic)

    def _drain(self, topic: str) -> None:
        while self._cluster.world.now_ns < self._give_up_ns:
            asked = self._ask([Request("GET", topic)] * _REQUESTS_AT_ONCE)
            if asked and asked[-1].outcome == EMPTY_REPLY:
                return
            self.excused = out_of_reach(self._cluster)
            if topic in self.excused:
                return
        raise Violation(f"liveness: GETs of topic {topic} never come to its end")

    def _ask(self, requests: list[Request]) -> list[Operation]:
        """Ask a random node; run the world until all is answered, the connection breaks or time is up."""
        world, link = self._cluster.world, self._link
        until = world.now_ns + _ANSWER_WITHIN_NS
        first = len(self._history.operations)
        link.ask(self._rng.choice(self._cluster.core), requests)
        while link.connection is not None and world.now_ns < until:
            world.run_until(world.now_ns + _STEP_NS)
            if len(self._history.operations) > first and not link.outstanding:
                break
        link.leave()
        return self._history.operations[first:]
