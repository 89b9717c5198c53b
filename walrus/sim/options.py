"""What a run is told besides its seed. A seed with the same options is the same run."""

import msgspec

from walrus.sim.world import MS


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes and lengths of one run; times in simulated nanoseconds.

    ``faults`` names the fault kinds to use (each still has its own dice); None: every kind, each on with
    probability one half.
    """

    nodes: int = 3
    clients: int = 3
    topics: int = 2
    start_ns: int = 700 * MS  # most seeds have formed their cluster by then; faults begin
    fault_ns: int = 0  # how long faults and load go on; 0: until the run has enough steps to be worth its start
    converge_ns: int = 20_000 * MS  # after the faults, the bound for everything to be well again
    max_steps: int = 400_000
    faults: tuple[str, ...] | None = None
    lost_majority: bool = False  # all disks but one are lost in the end, see :mod:`walrus.sim.survival`

    unsynced_power_loss: bool = False  # the power is lost also where topics acknowledge without a sync

    @property
    def least_fault_ns(self) -> int:
        """How long faults go on at least."""
        return self.fault_ns or 1_000 * MS

    @property
    def least_steps(self) -> int:
        """They go on until the run has so many steps."""
        return 0 if self.fault_ns else 3_000

    def arguments(self) -> str:
        """The command-line arguments of ``walrus-sim`` that give these options."""
        default = Options()
        parts = [f"--nodes {self.nodes}"]
        if self.fault_ns != default.fault_ns:
            parts.append(f"--duration-ms {self.fault_ns // MS}")
        if self.clients != default.clients:
            parts.append(f"--clients {self.clients}")
        if self.topics != default.topics:
            parts.append(f"--topics {self.topics}")
        if self.max_steps != default.max_steps:
            parts.append(f"--steps {self.max_steps}")
        if self.faults is not None:
            parts.append(f"--faults {','.join(self.faults) or 'none'}")
        if self.lost_majority:
            parts.append("--lose-majority")
        if self.unsynced_power_loss:
            parts.append("--unsynced-power-loss")
        return " ".join(parts)
