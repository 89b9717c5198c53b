"""A cluster whose nodes each have a network of their own, and what may befall them there."""

import contextlib
import enum
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cluster import Cluster
from network import Link, Network
from relay import Relay

NODES = (1, 2, 3)


class NetworkedCluster(Cluster):
    """Nodes 1 to 3, each at ``network.address(node)``; the ports are those of any other cluster under test.

    With ``relayed``, nodes reach one another through :attr:`relay` only, which may be slow.
    """

    def __init__(self, directory: Path, environment: Mapping[str, str] | None = None, relayed: bool = False) -> None:
        super().__init__(directory, len(NODES), environment)
        self._paused: set[int] = set()
        self.network = Network(NODES)
        self.relay: Relay | None = None
        if relayed:
            ports = {node: self.raft_port + node - 1 for node in NODES}
            self.relay = Relay(
                {(self.network.relay_address(n), ports[n]): (self.network.address(n), ports[n]) for n in NODES}
            )
            self.relay.start()

    def client_address(self, node: int) -> str:
        return f"{self.network.address(node)}:{self.client_port + node - 1}"

    def command(self, node: int) -> list[str]:
        address = self.network.address
        reached_at = self.network.relay_address if self.relay else address
        hosts = ["--raft-host", address(node), "--client-host", address(node)]
        hosts += ["--raft-advertise-host", reached_at(node)]
        command = super().command(node)
        if node != 1:
            command[command.index("--join") + 1] = f"{reached_at(1)}:{self.raft_port}"
        return [*self.network.inside(node), *command, *hosts]

    def dispose(self) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(self.network.close)
            if self.relay:
                stack.callback(self.relay.close)
            super().dispose()

    # --- what befalls it ---

    def pause(self, node: int) -> None:
        super().pause(node)
        self._paused.add(node)

    def go_on(self, node: int) -> None:
        super().go_on(node)
        self._paused.discard(node)

    def heal(self) -> None:
        """The network is as new and everybody runs."""
        self.network.heal()
        if self.relay:
            self.relay.delay_s = 0.0
        for node in sorted(self._paused):
            self.go_on(node)


@contextlib.contextmanager
def networked(
    directory: Path, environment: Mapping[str, str] | None = None, relayed: bool = False
) -> Iterator[NetworkedCluster]:
    """A formed cluster on a network of its own; both are gone afterwards, whatever happened."""
    cluster = NetworkedCluster(directory, environment, relayed)
    try:
        cluster.start()
        cluster.until_formed()
        yield cluster
    finally:
        cluster.dispose()


class Role(enum.Enum):
    """Whom a fault befalls."""

    RAFT_LEADER = "Raft leader"
    SEGMENT_LEADER = "segment leader"
    BOTH = "leader of both"
    FOLLOWER = "follower"


@dataclass(frozen=True)
class Scene:
    """A topic, and who is who at the beginning."""

    topic: str
    raft_leader: int
    segment_leader: int
    victim: int


def prepare(cluster: NetworkedCluster, role: Role, name: str = "topic") -> Scene:
    """A new topic, whose segment leader is not the Raft leader unless the victim is to be both."""
    raft_leader = cluster.raft_leader()
    topic = cluster.topic_led_by(lambda node: (node == raft_leader) == (role is Role.BOTH), name)
    segment_leader = cluster.segment_leader(topic)
    follower = next(node for node in NODES if node not in (raft_leader, segment_leader))
    victim = {Role.RAFT_LEADER: raft_leader, Role.FOLLOWER: follower}.get(role, segment_leader)
    return Scene(topic, raft_leader, segment_leader, victim)


def others(victim: int) -> list[int]:
    return [node for node in NODES if node != victim]


def leading_to(node: int) -> list[Link]:
    """The links on which the others send to ``node``."""
    return [(other, node) for other in others(node)]


def leading_from(node: int) -> list[Link]:
    return [(node, other) for other in others(node)]


ALL_LINKS = [link for node in NODES for link in leading_to(node)]


@dataclass(frozen=True)
class Fault:
    """``begin`` brings it about, :meth:`NetworkedCluster.heal` ends it.

    The victim that it ``isolates`` from a majority, or from the Raft leader that a majority follows, acknowledges
    nothing while it lasts, and nobody needs it.
    """

    name: str
    role: Role
    begin: Callable[[NetworkedCluster, Scene], None]
    isolates: bool = False
    stops: bool = False  # the victim's process too
    flaps: bool = False  # comes and goes
    relayed: bool = False  # takes a cluster whose nodes reach one another by a relay


def cut_off(cluster: NetworkedCluster, scene: Scene) -> None:
    cluster.network.lose(leading_to(scene.victim) + leading_from(scene.victim))


def deafen(cluster: NetworkedCluster, scene: Scene) -> None:
    cluster.network.lose(leading_to(scene.victim))


def mute(cluster: NetworkedCluster, scene: Scene) -> None:
    cluster.network.lose(leading_from(scene.victim))


def cut_between_leaders(cluster: NetworkedCluster, scene: Scene) -> None:
    leaders = (scene.raft_leader, scene.segment_leader)
    cluster.network.lose([leaders, leaders[::-1]])


def deafen_to_raft_leader(cluster: NetworkedCluster, scene: Scene) -> None:
    cluster.network.lose([(scene.raft_leader, scene.segment_leader)])


def pause(cluster: NetworkedCluster, scene: Scene) -> None:
    cluster.pause(scene.victim)


def lose(share: float) -> Callable[[NetworkedCluster, Scene], None]:
    return lambda cluster, scene: cluster.network.lose(ALL_LINKS, share)


def narrow(bits_per_s: int) -> Callable[[NetworkedCluster, Scene], None]:
    return lambda cluster, scene: cluster.network.narrow(scene.victim, bits_per_s)


def delay(each_way_s: float) -> Callable[[NetworkedCluster, Scene], None]:
    def begin(cluster: NetworkedCluster, scene: Scene) -> None:
        assert cluster.relay, "a delay takes a relayed cluster"
        cluster.relay.delay_s = each_way_s

    return begin


FAULTS = (
    Fault("cut off: Raft leader", Role.RAFT_LEADER, cut_off, isolates=True),
    Fault("cut off: segment leader", Role.SEGMENT_LEADER, cut_off, isolates=True),
    Fault("cut off: leader of both", Role.BOTH, cut_off, isolates=True),
    Fault("cut off: follower", Role.FOLLOWER, cut_off, isolates=True),
    Fault("hears nobody: leader of both", Role.BOTH, deafen, isolates=True),
    Fault("hears nobody: segment leader", Role.SEGMENT_LEADER, deafen, isolates=True),
    Fault("unheard: leader of both", Role.BOTH, mute, isolates=True),
    Fault("unheard: segment leader", Role.SEGMENT_LEADER, mute, isolates=True),
    Fault("cut between the leaders", Role.SEGMENT_LEADER, cut_between_leaders, isolates=True),
    Fault("one way between them", Role.SEGMENT_LEADER, deafen_to_raft_leader, isolates=True),
    Fault("paused: Raft leader", Role.RAFT_LEADER, pause, isolates=True, stops=True),
    Fault("paused: segment leader", Role.SEGMENT_LEADER, pause, isolates=True, stops=True),
    Fault("paused: leader of both", Role.BOTH, pause, isolates=True, stops=True),
    Fault("5 % lost on all links", Role.SEGMENT_LEADER, lose(0.05)),
    Fault("20 % lost on all links", Role.SEGMENT_LEADER, lose(0.20)),
    Fault("1 Mbit/s: segment leader", Role.SEGMENT_LEADER, narrow(1_000_000)),
    Fault("1 Mbit/s: follower", Role.FOLLOWER, narrow(1_000_000)),
    Fault("flapping: segment leader", Role.SEGMENT_LEADER, cut_off, flaps=True),
    Fault("flapping: Raft leader", Role.RAFT_LEADER, cut_off, flaps=True),
    Fault("50 ms each way, all links", Role.SEGMENT_LEADER, delay(0.050), relayed=True),
    Fault("200 ms each way, all links", Role.SEGMENT_LEADER, delay(0.200), relayed=True),
)
