"""What must hold for any bytes at all: one function per reader, which raises where it does not.

Damage to a file of this node ends in RecoveryError, damage to what a stranger sends in a refusal, a scenario that is
none in ScenarioError; nothing else may be raised. What a reader accepts must read the same again. Each function returns
in a word what became of the input: an input with a new word is worth mutating further.

The readers of whole files and of data directories are in :mod:`fuzz.recovery_targets`.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Final

from fuzz import recovery_targets
from fuzz.alone import CONFIG as ALONE_CONFIG
from fuzz.alone import WALL_NS, Alone
from fuzz.recovery_targets import READ_BYTES, scan
from fuzz.samples import HEADER
from walrus.client import calls
from walrus.client.errors import ProtocolError, WalrusError
from walrus.client.session import ClientSession
from walrus.client.session import Reply as ClientReply
from walrus.core import events as ev
from walrus.core.actions import Reply
from walrus.core.clients import ClientSessions
from walrus.core.codec import decode_message, encode_message
from walrus.core.config import SECOND, NodeConfig
from walrus.core.http_head import HEAD_BYTES_MAX, PREFIXES, HttpHead, parse_head, preferred, render_response
from walrus.core.metadata import commands
from walrus.core.metadata.state import Metadata
from walrus.core.peer import DECODE_ERRORS
from walrus.core.raft.membership import Membership
from walrus.core.storage.blocks import (
    BLOCK_HEADER_BYTES,
    BlockInfo,
    decode_header,
    encode_header,
    payloads_of,
    split_blocks,
)
from walrus.core.wire import HEADER as FRAME_HEADER
from walrus.core.wire import HTTP, FrameParser
from walrus.io.peer_frames import FRAME_BYTES_MAX, BadFrame, FrameReader, decode_hello
from walrus.sim.scenario import ScenarioError
from walrus.sim.scenario import decode as decode_scenario
from walrus.sim.scenario import encode as encode_scenario

__all__ = ["READ_BYTES", "TARGETS", "scan"]

CONFIG: Final = NodeConfig(node_id=1, advertise_address="node:1", max_frame_bytes=256, max_pending_requests=8)
CONNECTION: Final = 1
REPLIES_MAX: Final = 4
Target = Callable[[bytes], str]


# --- clients ---


def chunks(data: bytes) -> list[bytes]:
    """The first byte says how the rest is cut into pieces."""
    step = data[0] + 1 if data else 1
    return [data[at : at + step] for at in range(1, len(data), step)]


def client_wire(data: bytes) -> str:
    """Every request gets one reply, and little is held."""
    sessions = ClientSessions(CONFIG)
    sessions.connected(CONNECTION, 0)
    replies = b""
    http = False
    for now_ns, chunk in enumerate(chunks(data)):
        for slot, request in sessions.received(CONNECTION, chunk, now_ns):
            if request.verb == HTTP:
                http = True
                sessions.answer_http(slot, 200, "text/plain", b"")
            else:
                sessions.answer(slot, b"OK")
        for action in sessions.drain():
            if isinstance(action, Reply):
                replies += action.data
                http = http or action.close
        assert sessions.buffered_bytes <= max(CONFIG.max_frame_bytes, HEAD_BYTES_MAX + 1)
        assert sessions.pending_requests == 0
    if http or may_be_http(data[1:]):
        return "http"
    return told(replies, data[1:])


def may_be_http(stream: bytes) -> bool:
    """It begins as HTTP, or is too short to tell."""
    return stream.startswith(PREFIXES) or any(prefix.startswith(stream) for prefix in PREFIXES)


def told(replies: bytes, stream: bytes) -> str:
    """The kinds of replies; there must be one for each frame of ``stream``."""
    kinds = []
    position = 0
    while position < len(replies):
        (length,) = FRAME_HEADER.unpack_from(replies, position)
        start = position + FRAME_HEADER.size
        position = start + length
        assert position <= len(replies)
        kinds.append(b" ".join(replies[start:position].split(b" ")[:3])[:30].decode("ascii", "replace"))
    assert len(kinds) == len(FrameParser(CONFIG.max_frame_bytes).feed(stream))
    return " ".join(sorted({kind if kind.startswith("ERR") else kind.split(" ")[0] for kind in kinds}))


def http_head(data: bytes) -> str:
    """A head is read, refused or waited for; what is answered has the length that it says."""
    head = parse_head(data)
    if head is None:
        assert len(data) <= HEAD_BYTES_MAX
        return "waiting"
    if isinstance(head, int):
        assert head in (400, 431)
        return str(head)
    assert isinstance(head, HttpHead)
    response = render_response(200, "text/plain", b"body", head_only=head.head_only)
    assert response.endswith(b"\r\n\r\n" if head.head_only else b"\r\n\r\nbody")
    form = preferred(head.accept, {"json": ("application/json", "*/*"), "text": ("text/plain",)})
    return f"{'HEAD' if head.head_only else 'GET'} {form}"


def node_clients(data: bytes) -> str:
    """The same for a whole running node: every request gets its reply, and nothing that is sent stops the node."""
    alone = Alone({})
    alone.turn(ev.ClientConnected(CONNECTION))
    for chunk in chunks(data):
        alone.turn(ev.ClientDataReceived(CONNECTION, chunk, WALL_NS))
    alone.sleep(2 * ALONE_CONFIG.rpc_timeout_ns)
    assert alone.stopped is None
    assert alone.node.running is not None
    assert alone.node.running.waiting() == 0
    replies, closed = alone.replies(CONNECTION)
    if closed or may_be_http(data[1:]):
        return f"http {replies[:12].decode('latin-1')}"
    return told(replies, data[1:])


def client_replies(data: bytes) -> str:
    """A client takes replies of any bytes, however cut, or says in an error of its own what is wrong with them."""
    session = ClientSession()
    for _ in range(REPLIES_MAX):
        session.request(calls.METRICS)
    session.data_to_send()
    bodies: list[bytes] = []
    try:
        for chunk in chunks(data):
            bodies += [reply.body for reply in session.receive(chunk)]
    except ProtocolError as error:
        return str(error).split(":")[0]
    assert [reply.body for reply in _all_at_once(data[1:])] == bodies
    assert len(session.connection_lost().unknown) == REPLIES_MAX - len(bodies)
    return " ".join(sorted({taken(body) for body in bodies}))


def _all_at_once(stream: bytes) -> list[ClientReply]:
    session = ClientSession()
    for _ in range(REPLIES_MAX):
        session.request(calls.METRICS)
    session.data_to_send()
    return session.receive(stream)


def taken(body: bytes) -> str:
    """What the client library makes of a reply, whatever it was asked for."""
    kinds = []
    for reader in (calls.check_ok, calls.payload_of, calls.record_of, calls.json_of):
        try:
            kinds.append(type(reader(body)).__name__)
        except WalrusError as error:
            kinds.append(type(error).__name__)
    return "/".join(kinds)


# --- peers ---


def peer_frames(data: bytes) -> str:
    """However a stream is cut, the same frames come of it, or the same refusal."""
    reader, found = FrameReader(), []
    try:
        for chunk in chunks(data):
            found += reader.feed(memoryview(chunk))
            if found and not reader.greeted:
                decode_hello(found[0])
                reader.greeted = True
                found += reader.feed(memoryview(b""))
    except BadFrame as error:
        return str(error).split(" of ")[0].split(" that ")[0]
    whole, rest = [], data[1:]
    while len(rest) >= 4 and len(rest) >= 4 + int.from_bytes(rest[:4], "little"):
        end = 4 + int.from_bytes(rest[:4], "little")
        whole.append(rest[4:end])
        rest = rest[end:]
    assert found == whole
    assert all(0 < len(frame) <= FRAME_BYTES_MAX for frame in found)
    return f"{min(len(found), 3)} frames"


def peer_codec(data: bytes) -> str:
    """What decodes is a message that another node could have sent."""
    found = decode_message(data)
    if found is None:
        return "none"
    assert decode_message(encode_message(*found)) == found
    return type(found[1]).__name__


def node_messages(data: bytes) -> str:
    """Whatever comes of a stranger (it does not know the cluster's number), a node goes on."""
    alone = Alone({})
    alone.turn(ev.MessageReceived(data), ev.MessageReceived(data))
    alone.sleep(SECOND)
    assert alone.stopped is None
    found = decode_message(data)
    return type(found[1]).__name__ if found is not None else "none"


# --- what Raft commits ---


def command(data: bytes) -> str:
    """A command that can be read is applied or refused, the same every time, and reads the same again."""
    try:
        found = commands.decode(data)
    except DECODE_ERRORS:
        return "none"
    assert commands.decode(commands.encode(found)) == found
    first, second = Metadata(), Metadata()
    reasons = [state.apply(found) for state in (first, second)]
    assert reasons[0] == reasons[1]
    assert first.drain() == second.drain()
    return f"{type(found).__name__} {'refused' if reasons[0] else 'applied'}"


def membership(data: bytes) -> str:
    """A configuration reads the same again."""
    try:
        found = Membership.decode(data)
    except DECODE_ERRORS:
        return "none"
    assert Membership.decode(found.encode()) == found
    return f"{min(len(found.voters), 3)} voters, {min(len(found.learners), 3)} learners"


# --- segments ---


def segment_header(data: bytes) -> str:
    """A header that is accepted can be written again and reads the same."""
    found = decode_header(data)
    if found is None:
        return "none"
    if not found.topic.isascii():
        return "no topic of ours"  # never written: topic names are ASCII
    assert decode_header(encode_header(found)) == found
    return "ours" if found == HEADER else "another"


def blocks(data: bytes) -> str:
    """Blocks that are accepted are dense and cover all bytes; records can be told apart where their lengths add up.

    A sound checksum over lengths that do not was made by no writer of ours, and nothing guards against it yet.
    """
    found = split_blocks(data)
    if found is None:
        return "none"
    assert sum(block.size for block in found) == len(data)
    for block, following in pairwise(found):
        assert following.base == block.base + block.count
    told_apart = [block for block in found if lengths_add_up(data, block)]
    for block in told_apart:
        payloads = payloads_of(data, block)
        assert len(payloads) == block.count
        assert sum(map(len, payloads)) == block.size - BLOCK_HEADER_BYTES - 4 * block.count
    return f"{min(len(found), 4)} blocks, {min(len(told_apart), 4)} whole"


def lengths_add_up(data: bytes, block: BlockInfo) -> bool:
    """Whether the records of a block cover its body."""
    position, end = block.position + BLOCK_HEADER_BYTES, block.position + block.size
    for _ in range(block.count):
        if position + 4 > end:
            return False
        position += 4 + int.from_bytes(data[position : position + 4], "little")
    return position == end


# --- the simulator ---


def scenario(data: bytes) -> str:
    """A file is a scenario, which is written and read again the same, or no scenario for a reason that names it."""
    try:
        found = decode_scenario(data.decode("utf-8", "replace"), "file.json")
    except ScenarioError as error:
        reason = str(error)
    else:
        reason = ""
    if reason:
        assert reason.startswith("file.json: ")
        return reason.split("'")[0][:60]
    assert decode_scenario(encode_scenario(found), "again") == found
    return f"{len(found.steps)} steps"


TARGETS: Final[dict[str, Target]] = {
    function.__name__: function
    for function in (
        *(
            client_wire,
            http_head,
            node_clients,
            client_replies,
            peer_frames,
            peer_codec,
            node_messages,
            command,
            membership,
        ),
        *(segment_header, blocks, scenario, *recovery_targets.ALL),
    )
}
