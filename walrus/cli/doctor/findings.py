"""What the doctor makes of what it has seen. No sockets and no clock here: observations in, findings out."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

OK: Final = "ok"
NOTE: Final = "note"  # worth knowing, nothing to be done
WARNING: Final = "warning"  # works, but not as it should, or not for long
WRONG: Final = "wrong"

CLOCK_WARNING_S: Final = 0.5
CLOCK_WRONG_S: Final = 5.0
FREE_WARNING: Final = 0.10
FREE_WRONG: Final = 0.03
_GIB: Final = 1 << 30
_LOOPBACK: Final = ("127.", "localhost", "[::1]")


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's: ``subject`` is what was looked at, ``text`` a sentence that says what to do."""

    level: str
    subject: str
    text: str


@dataclass(frozen=True)
class Answer:
    """What became of asking ``address``: METRICS, when it was asked and answered (time of day), or why not."""

    address: str
    metrics: Mapping[str, Any] | None = None
    asked_s: float = 0.0
    answered_s: float = 0.0
    problem: str = ""


@dataclass(frozen=True)
class Seen:
    """All that was seen of a cluster; ``dialled``: raft address -> why it cannot be reached from here, or ""."""

    answers: Sequence[Answer]
    dialled: Mapping[str, str] = field(default_factory=dict)

    @property
    def nodes(self) -> list[Mapping[str, Any]]:
        """METRICS of each node that answered, once, by id."""
        found = {answer.metrics["id"]: answer.metrics for answer in self.answers if answer.metrics is not None}
        return [found[node] for node in sorted(found)]


def judge(seen: Seen) -> list[Finding]:
    """Everything that can be said of a cluster, in the order in which one should look at it."""
    findings = list(_answers(seen))
    if seen.nodes:
        for look in (_cluster, _members, _clocks, _versions, _disks, _drivers, _loops):
            findings += look(seen)
    return findings


def _answers(seen: Seen) -> Iterator[Finding]:
    for answer in seen.answers:
        if answer.metrics is None:
            yield Finding(WRONG, "address", f"{answer.address}: {answer.problem}")
        else:
            state = answer.metrics["state"].lower()
            yield Finding(OK, "address", f"{answer.address}: node {answer.metrics['id']}, {state}")


def _cluster(seen: Seen) -> Iterator[Finding]:
    nodes = seen.nodes
    clusters = sorted({node["cluster"] for node in nodes})
    if len(clusters) > 1:
        which = "; ".join(f"{c}: node {', '.join(str(n['id']) for n in nodes if n['cluster'] == c)}" for c in clusters)
        yield Finding(
            WRONG, "cluster", f"these nodes are not of one cluster ({which}): check --join and the data directories"
        )
        return
    leaders = {node["current_leader"] for node in nodes}
    for node in nodes:
        if node["current_leader"] is None:
            yield Finding(
                WRONG,
                "leader",
                f"node {node['id']} knows no raft leader: "
                "fewer than a majority of the nodes run or can reach each other",
            )
        elif not node["lease_valid"]:
            yield Finding(
                WRONG,
                "lease",
                f"node {node['id']} holds no lease, so it serves no open segment: it cannot reach the leader in time",
            )
    if len(leaders - {None}) > 1:
        yield Finding(WARNING, "leader", f"nodes name different leaders, {_listed(leaders - {None})}: ask again")
    elif None not in leaders:
        yield Finding(OK, "leader", f"node {next(iter(leaders))}, and every node that answers knows it")
    for node in nodes:
        for segment, why in node["stuck_segments"].items():
            yield Finding(WRONG, "segment", f"{segment} cannot be sealed: {why}")


def _members(seen: Seen) -> Iterator[Finding]:
    newest = max(seen.nodes, key=lambda node: int(node["last_applied"]))
    membership = newest["membership_config"]["membership"]
    addresses = {node: member["addr"] for node, member in membership["nodes"].items()}
    answered = {str(node["id"]) for node in seen.nodes}
    for node, address in addresses.items():
        problem = seen.dialled.get(address, "")
        if problem:
            yield Finding(
                WRONG,
                "port",
                f"raft port {address} of node {node}: {problem}; its peers need it, and so does who joins through it",
            )
        elif address in seen.dialled:
            yield Finding(OK, "port", f"raft port {address} of node {node} can be reached from here")
        if node not in answered:
            yield Finding(WARNING, "address", f"node {node} is a member, and was not heard")
    for address, count in Counter(addresses.values()).items():
        if count > 1:
            sharing = [node for node, its in addresses.items() if its == address]
            yield Finding(
                WRONG,
                "address",
                f"nodes {', '.join(sharing)} all tell their peers {address}: see --raft-advertise-host",
            )
    local = [node for node, address in addresses.items() if address.startswith(_LOOPBACK)]
    if local and len(local) < len(addresses):
        yield Finding(
            WRONG,
            "address",
            f"node {', '.join(local)} tells peers on other machines a loopback address: see --raft-advertise-host",
        )
    voters = sorted({voter for config in membership["configs"] for voter in config})
    if len(voters) < 3:
        yield Finding(
            WARNING,
            "members",
            f"{len(voters)} voters: the loss of one stops the cluster; three survive the loss of one",
        )
    else:
        yield Finding(OK, "members", f"voters {', '.join(map(str, voters))}")


def _clocks(seen: Seen) -> Iterator[Finding]:
    """An answer's time was read between asking and answering: what lies within that says nothing."""
    off: dict[int, float] = {}
    for answer in seen.answers:
        if answer.metrics is not None:
            told = answer.metrics["time_s"]
            late, early = told - answer.answered_s, told - answer.asked_s
            off[answer.metrics["id"]] = late if late > 0 else min(early, 0.0)
    fine = True
    for node, seconds in sorted(off.items()):
        if abs(seconds) < CLOCK_WARNING_S:
            continue
        fine = False
        level = WRONG if abs(seconds) >= CLOCK_WRONG_S else WARNING
        way = "ahead of" if seconds > 0 else "behind"
        yield Finding(
            level,
            "clock",
            f"node {node} is {abs(seconds):.1f} s {way} this machine: let both keep time (chrony, ntpd); "
            "no record is lost by it, but times of records are wrong",
        )
    if fine:
        yield Finding(OK, "clock", f"within {CLOCK_WARNING_S} s of this machine's on every node")


def _versions(seen: Seen) -> Iterator[Finding]:
    versions = {node["id"]: node["build"]["version"] for node in seen.nodes}
    if len(set(versions.values())) > 1:
        which = ", ".join(f"node {node}: {version}" for node, version in versions.items())
        yield Finding(WARNING, "version", f"nodes differ ({which}): finish the upgrade")
    else:
        yield Finding(OK, "version", f"{next(iter(versions.values()))} on every node")


def _disks(seen: Seen) -> Iterator[Finding]:
    for node in seen.nodes:
        driver = node["driver"]
        if driver is None or not driver["disk_size_bytes"]:
            yield Finding(NOTE, "disk", f"node {node['id']} has not looked at its disk yet: ask again in a few seconds")
        else:
            where = f"the disk of node {node['id']}"
            yield disk_finding(where, driver["disk_free_bytes"], driver["disk_size_bytes"])


def disk_finding(where: str, free_bytes: int, size_bytes: int) -> Finding:
    """Whether there is room."""
    share = free_bytes / size_bytes
    text = f"{free_bytes / _GIB:.1f} GiB of {where} are free, {share:.0%}"
    if share < FREE_WRONG:
        return Finding(WRONG, "disk", f"{text}: a node whose disk is full stops; make room now")
    if share < FREE_WARNING:
        return Finding(WARNING, "disk", f"{text}: make room, or move the data directory to a larger disk")
    return Finding(OK, "disk", text)


def _drivers(seen: Seen) -> Iterator[Finding]:
    for node in seen.nodes:
        build = node["build"]
        yield driver_finding(f"node {node['id']}", build["storage_driver"], build["storage_reason"])


def driver_finding(who: str, name: str, reason: str) -> Finding:
    """Which storage driver is in use. Both are safe; io_uring is quicker."""
    return Finding(NOTE if reason else OK, "driver", f"{who} writes through {name}" + (f": {reason}" if reason else ""))


def _loops(seen: Seen) -> Iterator[Finding]:
    for node in seen.nodes:
        loop = node["loop"]
        if loop["stalls"]:
            yield Finding(
                WARNING,
                "process",
                f"node {node['id']} stood still {loop['stalls']} times since it started, "
                f"{loop['stalled_s']:.1f} s in all: give it processor time, keep it out of swap",
            )


def _listed(values: set[Any]) -> str:
    return ", ".join(str(value) for value in sorted(values))
