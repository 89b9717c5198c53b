"""The logs of all leaders there ever were: what a leader has when it is elected, and from there on entries of its term,
since it only appends (Ongaro's dissertation, figure 3.2: leader append-only).
"""

from walrus.core.raft.output import LEADER
from walrus.sim import probe
from walrus.sim.host import Host
from walrus.sim.probe import RaftView
from walrus.sim.world import Violation


class _Led:
    """One leader's log: ``terms`` from ``base`` on, up to the first entry of its own term."""

    __slots__ = ("base", "last_index", "life", "node", "terms")

    def __init__(self, host: Host, raft: RaftView) -> None:
        log = raft.log
        self.node = host.node_id
        self.life = host.life
        self.base = log.snapshot_index
        self.terms: list[int] = []
        self.last_index = log.last_index
        for index in range(log.snapshot_index, log.last_index + 1):
            term = log.term(index)
            assert term is not None, "a log knows the term of what it holds"
            if term == raft.term:
                break
            self.terms.append(term)


class LeaderLogs:
    """Costs a comparison per turn of a node that does not lead."""

    def __init__(self) -> None:
        self.led: dict[int, _Led] = {}  # by term

    def after_turn(self, host: Host) -> None:
        """A node that leads: it has what it had, and more."""
        raft = probe.raft(host)
        if raft is None or raft.role is not LEADER:
            return
        led = self.led.get(raft.term)
        if led is None or led.node != host.node_id or led.life != host.life:
            self.led[raft.term] = _Led(host, raft)
        elif raft.log.last_index < led.last_index:
            raise Violation(
                f"leader append-only: node {host.node_id}, which leads in term {raft.term}, had entries up to "
                f"{led.last_index}, and has {raft.log.last_index}"
            )
        else:
            led.last_index = raft.log.last_index

    def first_index(self, term: int) -> int:
        """Index of the first entry of its own term in the log of that term's leader."""
        led = self.led[term]
        return led.base + len(led.terms)

    def term_at(self, led_in: int, index: int) -> int | None:
        """Term of an entry in the log of the leader of a term; None where that is not known."""
        led = self.led.get(led_in)
        if led is None or index < led.base:
            return None
        place = index - led.base
        return led.terms[place] if place < len(led.terms) else led_in
