"""Carrying out the core's actions: a table from their type to the part of the runtime that does them."""

from collections.abc import Callable
from typing import Any, Final

from walrus.core.actions import (
    Action,
    Delete,
    ForgetPeer,
    Log,
    PauseReading,
    Read,
    Rename,
    Reply,
    ResumeReading,
    Send,
    SendToAddress,
    SetPeerAddress,
    Stop,
    Truncate,
    Write,
)
from walrus.core.events import WriteCompleted, WriteFailed
from walrus.io.clients import ClientServer
from walrus.io.holdback import Holdback
from walrus.io.logs import Logger
from walrus.io.peers import PeerTransport
from walrus.io.storage import StorageAction, StorageDriver

_CHANGES: Final = (Write, Truncate, Rename, Delete)
_STORAGE: Final = frozenset((*_CHANGES, Read))


class Dispatcher:
    """Executes actions in order; ``stop`` is set once the node has said so."""

    def __init__(self, storage: StorageDriver, peers: PeerTransport, clients: ClientServer, log: Logger) -> None:
        self.stop: Stop | None = None
        self._storage = storage
        self._peers = peers
        self._clients = clients
        self._log = log
        self._holdback = Holdback()
        self._table: dict[type[Action], Callable[[Any], None]] = {
            Send: self._send,
            SendToAddress: lambda action: peers.send_to_address(action.address, action.data),
            SetPeerAddress: lambda action: peers.set_address(action.node, action.address),
            ForgetPeer: lambda action: peers.forget(action.node),
            Reply: clients.reply,
            PauseReading: lambda action: clients.pause(action.conn),
            ResumeReading: lambda action: clients.resume(action.conn),
            Log: lambda action: log.line(action.level, action.text),
            Stop: self._stop,
        }

    def execute(self, actions: list[Action]) -> None:
        """Carry out one turn's actions: the disk begins first, the rest in order, then all is sent."""
        storage: list[StorageAction] = []
        for action in actions:
            if isinstance(action, _CHANGES):
                self._holdback.begin(action.token)
                storage.append(action)
            elif isinstance(action, Read):
                storage.append(action)
        if storage:
            self._storage.submit(storage)
        table = self._table
        for action in actions:
            kind = type(action)
            if kind not in _STORAGE:
                table[kind](action)
        self.flush()

    def settle(self, event: WriteCompleted | WriteFailed) -> list[Send]:
        """Return the actions that were held back for the write that ``event`` is about."""
        return self._holdback.settle(event)

    def flush(self) -> None:
        """One send per connection with something to say; other nodes first."""
        self._peers.flush()
        self._clients.flush()

    def has_unsent(self) -> bool:
        return self._peers.has_unsent() or self._clients.has_unsent()

    def _send(self, action: Send) -> None:
        if not (action.after and self._holdback.holds(action)):
            self._peers.send(action.to, action.data, action.urgent)

    def _stop(self, action: Stop) -> None:
        self.stop = action
        self._log.log("error" if action.exit_code else "info", action.reason)
