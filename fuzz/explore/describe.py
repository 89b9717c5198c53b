"""What happens in a scope, in words for a counterexample."""

from typing import Any

from fuzz.explore.network import CLIENT, Posted
from fuzz.explore.sharedlog import LOG
from walrus.core.metadata.commands import decode
from walrus.core.peer import Entry
from walrus.core.segment.messages import Append, ForwardGet, ForwardPuts, ReadBlocksReply
from walrus.core.storage.blocks import payloads_of, split_blocks


def describe(label: tuple[Any, ...], posted: list[Posted]) -> str:
    """One step of a segment scope."""
    match label:
        case ("deliver", number):
            post = posted[number]
            return f"node {post.to} receives from {_who(post.sender)}: {says(post)}"
        case ("repeat", number):
            post = posted[number]
            return f"node {post.to} receives from {_who(post.sender)}, and will again: {says(post)}"
        case ("receive", number):
            return f"the client receives from node {posted[number].sender}: {says(posted[number])}"
        case ("commit", number):
            return f"committed: {says(posted[number])}"
        case ("apply", node, Entry() as entry):
            return f"node {node} applies entry {entry.index}: {command(entry.data)}"
        case ("wrote", node, path):
            return f"node {node}: its write to {path} is durable"
        case ("put", payload, node, segment):
            return f"the client puts {payload.decode()!r} into segment {segment} at node {node}"
        case ("get", node, segment):
            return f"the client asks node {node}, the writer of segment {segment}, for the next record"
        case ("crash", node, landed, lost):
            return f"node {node} crashes{_files(landed, 'still written')}{_files(lost, 'lost')}"
        case ("kill", node, landed):
            return f"node {node} crashes for good{_files(landed, 'still written')}"
        case ("start", node):
            return f"node {node} starts"
        case ("elect", node, term):
            return f"node {node} is elected in term {term}"
        case ("tick", node, live):
            return f"node {node}: timers fire; it believes that {_nodes(live)} run"
    raise ValueError(f"unknown step {label!r}")


def says(post: Posted) -> str:
    """A message, or a command on its way to the log."""
    if post.to == LOG:
        return command(post.data)
    message = post.says
    if isinstance(message, Append | ReadBlocksReply | ForwardPuts | ForwardGet):
        fields = {name: getattr(message, name) for name in message.__struct_fields__ if name not in ("data", "topic")}
        if isinstance(message, Append | ReadBlocksReply):
            blocks = split_blocks(message.data) or []
            records = b" ".join(payload for block in blocks for payload in payloads_of(message.data, block))
            fields["records"] = records.decode()
        return f"{type(message).__name__}({', '.join(f'{name}={value!r}' for name, value in fields.items())})"
    return repr(message)


def command(data: bytes) -> str:
    """A command of the log."""
    return repr(decode(data))


def _who(node: int) -> str:
    return "the client" if node == CLIENT else f"node {node}"


def _files(paths: tuple[str, ...], what: str) -> str:
    return f"; {what}: {', '.join(paths)}" if paths else ""


def _nodes(nodes: tuple[int, ...]) -> str:
    return ", ".join(map(str, nodes))
