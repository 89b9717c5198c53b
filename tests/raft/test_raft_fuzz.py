"""Random faults on random clusters: safety after every event, convergence once the faults end."""

import random

import pytest
from raft_network import Network, cluster, info, storage_of

from walrus.core.config import MS
from walrus.core.raft.membership import Membership
from walrus.core.raft.output import Role


class Chaos:
    """One seeded run: which kinds of fault it has, and what its clients do."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        nodes = self.rng.choice((2, 3, 3, 4, 5))
        if self.rng.random() < 0.3:
            self.network = Network(nodes, seed)
            self.network.bootstrap([b"first"])
        else:
            spare = self.rng.choice((0, 0, 1))
            self.network = cluster(nodes - spare, spare, seed)
        self.ticket = 0
        self.command = 0
        kinds = ("crash", "cut", "drop", "duplicate", "reorder", "slow disk", "transfer", "pause", "remove")
        self.kinds = [kind for kind in kinds if self.rng.random() < 0.5]

    def run(self) -> Network:
        """Faults, then none; return the world at its end."""
        network = self.network
        self._switch_faults_on()
        pace_ns = self.rng.choice((10 * MS, 50 * MS, 150 * MS))
        for _ in range(100):
            network.run_for(self.rng.randrange(pace_ns))
            if "remove" in self.kinds and self.rng.random() < 0.03:
                self._remove()
            self._act()
        network.heal()
        network.delay_ns = network.write_ns = (1 * MS, 2 * MS)
        for node, host in network.hosts.items():
            if host.raft is None:
                network.start(node)
        self._settle()
        return network

    def _switch_faults_on(self) -> None:
        network = self.network
        if "drop" in self.kinds:
            network.drop_share = self.rng.choice((0.02, 0.2))
        if "duplicate" in self.kinds:
            network.duplicate_share = 0.2
        if "reorder" in self.kinds:
            network.delay_ns = (1 * MS, self.rng.choice((10 * MS, 150 * MS, 700 * MS)))
        if "slow disk" in self.kinds:
            network.write_ns = (1 * MS, self.rng.choice((20 * MS, 300 * MS)))

    def _act(self) -> None:
        network, rng = self.network, self.rng
        choice = rng.random()
        leaders = [raft for raft in network.running() if raft.role is Role.LEADER]
        node = rng.choice([*network.hosts, *(raft.node_id for raft in leaders for _ in range(2))])
        if choice < 0.35:
            for raft in leaders:  # a deposed leader that does not know it yet takes proposals too
                self.command += 1
                raft.propose(b"%d" % self.command, network.now_ns)
                network.flush(raft.node_id)
        elif choice < 0.5:
            for raft in leaders:
                self.ticket += 1
                network.checks.read_requested(self.ticket, raft.node_id)
                assert raft.request_read(self.ticket, network.now_ns)
                network.flush(raft.node_id)
        elif choice < 0.55:
            network.join(node)
        elif choice < 0.7 and "crash" in self.kinds:
            self._crash_or_start(node)
        elif choice < 0.85 and "cut" in self.kinds:
            self._cut(node)
        elif choice < 0.95 and "transfer" in self.kinds:
            network.checks.transfers_happened = True
            for raft in leaders:
                raft.transfer_leadership(network.now_ns)
                network.flush(raft.node_id)
        elif "pause" in self.kinds and network.hosts[node].raft is not None:
            network.raft(node).stalled(rng.randrange(100 * MS))
            network.flush(node)

    def _remove(self) -> None:
        """Whoever believes that it leads is asked to remove some node, perhaps itself."""
        network = self.network
        node = self.rng.choice(list(network.hosts))
        for raft in [raft for raft in network.running() if raft.role is Role.LEADER]:
            network.checks.transfers_happened = True  # a leader that removes itself tells another to lead at once
            raft.remove((node, storage_of(node)), network.now_ns)
            network.flush(raft.node_id)

    def _crash_or_start(self, node: int) -> None:
        network = self.network
        if network.hosts[node].raft is None:
            raft = network.start(node)
            if raft.term == 0 and node == 1:  # it had died before its first write
                raft.bootstrap(info(1), [b"first"], network.now_ns)
            network.flush(node)
        else:
            network.crash(node)

    def _cut(self, node: int) -> None:
        network, rng = self.network, self.rng
        if rng.random() < 0.5:
            network.cut.clear()
        elif rng.random() < 0.5:
            network.isolate(node)
        else:
            network.cut.add((node, rng.choice(list(network.hosts))))

    def _settle(self) -> None:
        """Without faults all nodes that want to are voters within a few seconds."""
        network = self.network
        if network.raft(1).term == 0:
            network.bootstrap([b"first"])
        for _ in range(200):
            network.run_for(50 * MS)
            leader = network.leader()
            for node in network.hosts:
                if leader is not None and leader.membership.get(node) is None:
                    network.join(node)
            complete = leader is not None and leader.voters == self._staying(leader.membership)
            if complete and network.propose(b"last"):
                break
        network.run_for(1000 * MS)
        membership = network.checks.converged()
        assert membership.voters == self._staying(membership)

    def _staying(self, membership: Membership) -> tuple[int, ...]:
        removed = [node for node, _ in membership.removed]
        return tuple(node for node in self.network.hosts if node not in removed)


@pytest.mark.parametrize("first_seed", range(0, 400, 50))
def test_random_faults_never_break_safety_and_the_cluster_recovers(first_seed: int) -> None:
    """Raft's properties hold after every event of each run, and each run converges when its faults end."""
    for seed in range(first_seed, first_seed + 50):
        try:
            Chaos(seed).run()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error


def test_the_same_seed_gives_the_same_run() -> None:
    """A run depends on nothing but its seed."""
    first, second = Chaos(7).run(), Chaos(7).run()
    assert first.checks.committed == second.checks.committed
    assert first.checks.leaders == second.checks.leaders
    assert first.notes == second.notes
