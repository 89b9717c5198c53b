"""A copy is called lost only where something befell its file: what a crash leaves never looks like damage.

The ledger of the disk says what was ever damaged. A copy whose file is gone is not looked at: a process may end between
the removal of the file and the note that it was given up.
"""

from typing import Any, Final

from walrus.core.segment.replica import LOST
from walrus.sim.host import Host
from walrus.sim.world import Violation

_TURNS: Final = 8


class LostCopies:
    """Looks at every eighth turn of a node, and at the end of each process."""

    def __init__(self) -> None:
        self._turns = 0

    def after_turn(self, host: Host) -> None:
        """Some turns."""
        self._turns += 1
        if not self._turns % _TURNS:
            self.on_crash(host)

    def on_crash(self, host: Host) -> None:
        """Does the process take a copy for lost that nothing befell?"""
        node: Any = host.node
        for replica in (getattr(node, "replicas", None) or {}).values():
            if replica.state == LOST and replica.home_path not in host.disk.damage.hurt:
                self._lost(host, replica.home_path)

    def _lost(self, host: Host, path: str) -> None:
        if path in host.disk.files and "the whole disk" not in host.disk.damage.hurt:
            raise Violation(f"lost copies: node {host.node_id} takes {path} for lost, and nothing befell that file")
