"""A network for a cluster under test: every node in a network namespace of its own, all of them on one bridge.

What a link does is what real links do, in the kernel: packets from one node to another are dropped (all of them or
a share) as they arrive, so that the sender learns nothing, and what a node sends and receives may be squeezed through
a narrow link. Both are told per direction. The process that lays the network out reaches every node at
``address(node)``, by a link that no cut touches.

Takes root, ``ip``, ``tc`` and ``iptables``; :func:`why_not_here` says what is missing. A network is known by its slot:
a locked file, a subnet of 198.18.0.0/15 (which RFC 2544 sets aside for this), and the prefix of all its names. A run
that was killed leaves its names behind but not the lock, so whoever takes the slot next clears them away first.
"""

import contextlib
import fcntl
import functools
import os
import shutil
import signal
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

CUT = 1.0
_SLOTS = 32
_LOCKS = Path("/run/lock")
_PROGRAMS = ("ip", "iptables-restore", "tc")
_NAMESPACES = Path("/run/netns")
_OUTSIDE = 254  # host number of the process that lays the network out
_RELAYS = 100  # plus the node: host number of a relay in front of it
_TBF_BURST_BYTES = 16 * 1024
_TBF_LATENCY_MS = 200  # what waits longer than that is dropped, as the buffer of a router does

Link = tuple[int, int]
"""From which node, to which."""


class CommandFailed(Exception):
    """A command of the system; the text is the command and what it said."""


def run(*command: str, text: str = "") -> str:
    """Run a command and return what it printed. Raises :class:`CommandFailed`."""
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandFailed(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


@functools.cache
def why_not_here() -> str:
    """Why no network can be laid out on this machine; empty if one can."""
    if os.geteuid() != 0:
        return "network namespaces take root"
    if missing := [program for program in _PROGRAMS if shutil.which(program) is None]:
        return f"not installed: {', '.join(missing)} (Debian: apt-get install iproute2 iptables)"
    try:
        with Network([1]) as network:
            network.lose([(2, 1)], 0.5)
            network.narrow(1, 1_000_000)
    except (CommandFailed, OSError) as error:
        return f"this machine allows no network of its own: {error}"
    return ""


class Network:
    """``nodes`` are reachable from one another, and from this process, until told otherwise."""

    def __init__(self, nodes: Iterable[int]) -> None:
        self._nodes = tuple(nodes)
        self.slot, self._lock = _take_slot()
        self._lost: dict[Link, float] = {}  # share of the packets that is dropped
        self._narrowed: set[int] = set()
        self._prefix = f"walrus-{self.slot}-"
        self._device = f"walrus{self.slot}"
        self._bridge = f"{self._prefix}bridge"
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            self._clear()
            self._lay_out()
            undo.pop_all()

    def __enter__(self) -> "Network":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take everything down; processes that still run in a namespace are killed."""
        try:
            self._clear()
        finally:
            self._lock.close()

    def address(self, node: int) -> str:
        return f"198.18.{self.slot}.{node}"

    def relay_address(self, node: int) -> str:
        """An address of this process, for a relay in front of ``node``."""
        return self.address(_RELAYS + node)

    def inside(self, node: int) -> list[str]:
        """What goes before a command that is to run on ``node``; the process stays the same."""
        return ["ip", "netns", "exec", self._namespace(node)]

    # --- what befalls links ---

    def lose(self, links: Iterable[Link], share: float = CUT) -> None:
        """Drop that share of the packets on these links from now on; 0 heals them."""
        links = list(links)
        self._lost.update(dict.fromkeys(links, share))
        for receiver in sorted({receiver for _, receiver in links}):
            self._filter(receiver)

    def narrow(self, node: int, bits_per_s: int) -> None:
        """All that ``node`` sends goes through so narrow a link, and all that is sent to it."""
        self._narrowed.add(node)
        for namespace, device in self._ends(node):
            shape = ["rate", f"{bits_per_s}bit", "burst", str(_TBF_BURST_BYTES), "latency", f"{_TBF_LATENCY_MS}ms"]
            run("tc", "-n", namespace, "qdisc", "replace", "dev", device, "root", "tbf", *shape)

    def heal(self) -> None:
        """All links are as new."""
        self.lose([link for link, share in self._lost.items() if share], 0)
        self._lost.clear()
        for node in sorted(self._narrowed):
            for namespace, device in self._ends(node):
                run("tc", "-n", namespace, "qdisc", "del", "dev", device, "root")
        self._narrowed.clear()

    def _filter(self, receiver: int) -> None:
        """Write the receiver's rules anew, in one step."""
        rules = ["*filter", ":INPUT ACCEPT [0:0]"]
        for (sender, to), share in sorted(self._lost.items()):
            if to == receiver and share:
                chance = [] if share == CUT else ["-m statistic --mode random --probability", f"{share:.4f}"]
                rules.append(" ".join(["-A INPUT -s", self.address(sender), *chance, "-j DROP"]))
        run(*self.inside(receiver), "iptables-restore", text="\n".join([*rules, "COMMIT", ""]))

    def _ends(self, node: int) -> Sequence[tuple[str, str]]:
        """Namespace and device at both ends of a node's cable."""
        return ((self._namespace(node), "eth0"), (self._bridge, f"port{node}"))

    # --- laying out and clearing away ---

    def _namespace(self, node: int) -> str:
        return f"{self._prefix}{node}"

    def _lay_out(self) -> None:
        # The bridge is in a namespace of its own too: the machine's own firewall may look at what its bridges pass on.
        run("ip", "netns", "add", self._bridge)
        run("ip", "-n", self._bridge, "link", "add", "bridge", "type", "bridge")
        run("ip", "-n", self._bridge, "link", "set", "bridge", "up")
        self._plug_in(f"port{_OUTSIDE}", ["name", self._device, "netns", str(os.getpid())])
        for host in (_OUTSIDE, *(_RELAYS + node for node in self._nodes)):
            run("ip", "addr", "add", f"{self.address(host)}/24", "dev", self._device)
        run("ip", "link", "set", self._device, "up")
        for node in self._nodes:
            namespace = self._namespace(node)
            run("ip", "netns", "add", namespace)
            self._plug_in(f"port{node}", ["name", "eth0", "netns", namespace])
            run("ip", "-n", namespace, "addr", "add", f"{self.address(node)}/24", "dev", "eth0")
            run("ip", "-n", namespace, "link", "set", "eth0", "up")
            run("ip", "-n", namespace, "link", "set", "lo", "up")

    def _plug_in(self, port: str, peer: Sequence[str]) -> None:
        run("ip", "-n", self._bridge, "link", "add", port, "type", "veth", "peer", *peer)
        run("ip", "-n", self._bridge, "link", "set", port, "master", "bridge", "up")

    def _clear(self) -> None:
        """Remove everything of this slot. A cable goes with the namespace that one of its ends is in."""
        for path in sorted(_NAMESPACES.glob(f"{self._prefix}*")):
            for pid in run("ip", "netns", "pids", path.name).split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            run("ip", "netns", "del", path.name)
        with contextlib.suppress(CommandFailed):  # it goes by itself too, but not at once
            run("ip", "link", "del", self._device)


def _take_slot() -> tuple[int, IO[str]]:
    """The first slot that no living process has, and the file whose lock says so."""
    _LOCKS.mkdir(parents=True, exist_ok=True)
    for slot in range(_SLOTS):
        file = (_LOCKS / f"walrus-network-{slot}").open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            continue
        return slot, file
    raise OSError(f"all {_SLOTS} networks are in use")
