"""What to do: every output of the core, as frozen imperatives.

``after`` is a durability condition as data: the driver holds the action back until the write with
that token has completed (0: nothing to wait for). Order within one connection or peer is kept among
actions that are not held back.
"""

import msgspec


class Action(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Base of all actions. An encoded one names its kind."""


class Send(Action, frozen=True, gc=False):
    """Send a peer message (with envelope) to node ``to``; may be lost, delayed, repeated or reordered.

    ``urgent`` messages (heartbeats, leases, votes) overtake queued data on the wire.
    """

    to: int
    data: bytes
    after: int = 0
    urgent: bool = False


class SendToAddress(Action, frozen=True, gc=False):
    """Send a peer message to whoever listens at ``address`` (``host:port``); used to join."""

    address: str
    data: bytes


class SetPeerAddress(Action, frozen=True, gc=False):
    """From now on node ``node`` is dialled at ``address`` (``host:port``), resolved anew at every dial."""

    node: int
    address: str


class ForgetPeer(Action, frozen=True, gc=False):
    """Node ``node`` is no member any more: close its connections and stop dialling it."""

    node: int


class Write(Action, frozen=True, gc=False):
    """Write ``data`` at ``offset`` of ``path`` (created, with its durable directory entry, if missing) and make durable
    what the file holds.

    Without ``sync`` it completes once the operating system has the bytes: they outlive the process, and not a loss of
    power, until a later write to the path with ``sync`` has completed. One without data is nothing but that sync.

    Its blocks are reserved first, and ``ahead`` bytes of zeros behind them: half of those are there whenever the disk
    had room for them, and lack of room for them alone fails nothing. Completes as ``WriteCompleted(token)``,
    ``WriteFailed(token, ...)`` or, where there was no room, as ``SpaceRanOut``. Writes to different paths may complete
    in any order; the core never has two writes to one path in flight.
    """

    path: str
    offset: int
    data: bytes
    token: int
    ahead: int = 0
    sync: bool = True


class Read(Action, frozen=True, gc=False):
    """Read ``length`` bytes at ``offset``; completes as ``ReadCompleted`` or ``ReadFailed``."""

    path: str
    offset: int
    length: int
    token: int


class Truncate(Action, frozen=True, gc=False):
    """Cut ``path`` to ``size`` bytes, durably (preallocation included), and release its descriptor and mapping."""

    path: str
    size: int
    token: int


class Delete(Action, frozen=True, gc=False):
    """Remove ``path``, durably; a missing file counts as removed. Completes like a write."""

    path: str
    token: int


class Rename(Action, frozen=True, gc=False):
    """Give ``path`` the name ``to``, durably, in place of whatever has it. Completes like a write.

    What ``path`` holds is durable before the new name is. Both paths count as having a change in flight.
    """

    path: str
    to: str
    token: int


Change = Write | Truncate | Delete | Rename
"""What alters files. Completes as ``WriteCompleted``, ``WriteFailed`` or ``SpaceRanOut``."""


class Reply(Action, frozen=True, gc=False):
    """Send whole reply frames to a client, in one piece; with ``close``, close once they are sent."""

    conn: int
    data: bytes
    close: bool = False


class PauseReading(Action, frozen=True, gc=False):
    """Stop reading from a client connection (it has enough requests under way)."""

    conn: int


class ResumeReading(Action, frozen=True, gc=False):
    """Read from a paused client connection again."""

    conn: int


class Log(Action, frozen=True, gc=False):
    """Write a log line. ``level`` is debug, info, warn or error."""

    level: str
    text: str


class Stop(Action, frozen=True, gc=False):
    """End the process. ``exit_code`` 0 after a clean shutdown; otherwise ``reason`` says what broke."""

    reason: str
    exit_code: int
