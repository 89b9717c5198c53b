"""Recordings of runs that never were, of any size, the same every time."""

from walrus.sim.recording import ClientRequest, LogLine, Mark, Recording, RoleSpan, SegmentSpan, SentMessage
from walrus.sim.rng import Rng

MS = 1_000_000
KINDS = ("Heartbeat", "HeartbeatReply", "AppendEntries", "AppendReply", "Append", "AppendAck", "Fence", "RequestVote")


def made_up(messages: int, *, violation: str = "", content: str = "", nodes: int = 5) -> Recording:
    """A run with so many messages, one millisecond apart; ``content`` is in the first of them."""
    rng = Rng(messages)
    end_ns = (messages + 20) * MS
    return Recording(
        title=f"a run of {messages} messages",
        command=f"walrus-sim --seed {messages}",
        nodes=nodes,
        clients=2,
        end_ns=end_ns,
        messages=[_message(rng, number, nodes, content if number == 0 else "") for number in range(messages)],
        marks=[
            Mark(5 * MS, 15 * MS, "process", (2,), "node 2 crashes (made up)"),
            Mark(8 * MS, 8 * MS, "client", (), "connection of client 1 breaks"),
            Mark(9 * MS, end_ns, "network", (1, 3), "network cut 1: [1] <-/-> [3]"),
        ],
        roles=[RoleSpan(node, 0, end_ns, "leader" if node == 1 else "follower", 1) for node in range(1, nodes + 1)],
        segments=[SegmentSpan(node, 0, end_ns // 2, "logs:1", "OPEN", "replica") for node in range(1, nodes + 1)],
        requests=[
            ClientRequest(1, 2, "PUT", "logs", 3 * MS, 6 * MS, "done", "PUT logs 'x'", "OK"),
            ClientRequest(2, 3, "GET", "logs", 4 * MS, -1, "unknown", "GET logs", ""),
        ],
        lines=[LogLine(n * MS, 1 + n % nodes, f"node {1 + n % nodes} says <b>{n}</b>") for n in range(10)],
        verdict="violation" if violation else "clean",
        violation=violation,
        violation_ns=end_ns if violation else -1,
        violation_nodes=(2,) if violation else (),
    )


def _message(rng: Rng, number: int, nodes: int, content: str) -> SentMessage:
    sender = rng.randrange(1, nodes + 1)
    to = 1 + (sender + rng.randrange(nodes - 1)) % nodes
    kind = KINDS[rng.randrange(len(KINDS))]
    lost = rng.chance(50_000)
    sent_ns = number * MS
    arrived_ns = -1 if lost else sent_ns + rng.randrange(100_000, 20 * MS)
    fate = "dropped" if lost else "arrived"
    return SentMessage(
        number, sender, to, kind, "logs:1" if kind == "Append" else "", sent_ns, arrived_ns, fate,
        content or f"{kind}(number={number})",
    )  # fmt: skip
