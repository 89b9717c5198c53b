"""Which nodes run, as the Raft leader tells with each heartbeat, and since when the others do not."""


class Liveness:
    """``live`` is ascending; a node never heard of counts as gone since this node started."""

    def __init__(self, now_ns: int) -> None:
        self.live: tuple[int, ...] = ()
        self._started_ns = now_ns
        self._seen_ns: dict[int, int] = {}

    def told(self, live: tuple[int, ...], now_ns: int) -> None:
        self.live = live
        for node in live:
            self._seen_ns[node] = now_ns

    def gone(self, nodes: list[int], after_ns: int, now_ns: int) -> tuple[int, ...]:
        """Those of ``nodes`` that have not been live for ``after_ns``."""
        started = self._started_ns
        return tuple(n for n in nodes if n not in self.live and now_ns - self._seen_ns.get(n, started) >= after_ns)
