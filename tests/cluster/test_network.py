"""The network that faults are tested on does what it says, or those tests would prove nothing."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import eventually
from network import Network, why_not_here

pytestmark = pytest.mark.skipif(bool(why_not_here()), reason=why_not_here() or "-")

_PORT = 9000
_RECEIVE = f"""
import socket
receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
receiver.bind(("", {_PORT}))
print("ready", flush=True)
while True:
    print(receiver.recv(100).decode(), flush=True)
"""
_SEND = f"""
import socket, sys
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(sys.argv[2].encode(), (sys.argv[1], {_PORT}))
"""
_LEAVE_BEHIND = """
import os, signal, subprocess, sys
sys.path.insert(0, sys.argv[1])
from network import Network
network = Network([1])
left = subprocess.Popen([*network.inside(1), "sleep", "1000"], stdout=subprocess.DEVNULL)
print(network.slot, left.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def network() -> Iterator[Network]:
    with Network([1, 2, 3]) as laid_out:
        yield laid_out


class Receiver:
    """A process on a node that tells what comes."""

    def __init__(self, network: Network, node: int) -> None:
        self._network = network
        self._node = node
        command = [*network.inside(node), sys.executable, "-c", _RECEIVE]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.next() == "ready"

    def send(self, sender: int, text: str) -> None:
        """Send it a datagram from another node."""
        command = [*self._network.inside(sender), sys.executable, "-c", _SEND, self._network.address(self._node), text]
        subprocess.run(command, check=True)

    def next(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().strip()

    def __enter__(self) -> "Receiver":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


def test_a_cut_holds_in_its_direction_only(network: Network) -> None:
    """What a node sends into a cut link never arrives; the way back, and other links, are open."""
    with Receiver(network, 1) as one, Receiver(network, 2) as two:
        two.send(1, "before")
        assert two.next() == "before"
        network.lose([(1, 2)])
        two.send(1, "into the cut")
        two.send(3, "from elsewhere")
        assert two.next() == "from elsewhere"
        one.send(2, "the other way")
        assert one.next() == "the other way"
        network.heal()
        two.send(1, "after")
        assert two.next() == "after"


def test_a_lossy_link_loses_some(network: Network) -> None:
    """Of datagrams that are sent one after the other some come and some do not; another link loses none."""
    with Receiver(network, 1) as one:
        network.lose([(2, 1)], 0.5)
        came: set[str] = set()
        numbers = iter(range(1000))

        def both_happened() -> bool:
            number = next(numbers)
            one.send(2, str(number))
            one.send(3, "mark")
            while (text := one.next()) != "mark":
                came.add(text)
            return 0 < len(came) <= number

        eventually(both_happened, "a datagram that came, and one that did not")


def test_what_a_killed_run_left_is_cleared_away() -> None:
    """Whoever takes the slot next removes the namespaces, and the processes that still run in them."""
    command = [sys.executable, "-c", _LEAVE_BEHIND, str(Path(__file__).parent)]
    slot, pid = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout.split()
    taken: list[Network] = []
    try:
        while not taken or taken[-1].slot < int(slot):
            taken.append(Network([1]))
        eventually(lambda: not Path(f"/proc/{pid}").exists(), "the end of a process of the killed run")
        if taken[-1].slot == int(slot):
            assert Path(f"/run/netns/walrus-{slot}-1").exists(), "laid out anew"
    finally:
        for network in taken:
            network.close()
