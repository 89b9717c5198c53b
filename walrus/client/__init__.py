"""Clients of a Walrus cluster, blocking (:class:`WalrusClient`) and for asyncio (:mod:`walrus.client.aio`).

Both drive :class:`walrus.client.session.ClientSession`, which has no socket and no clock.
"""

from walrus.client.calls import Record
from walrus.client.errors import (
    NotConnected,
    OutcomeUnknown,
    ProtocolError,
    PutManyFailed,
    ServerError,
    TimedOut,
    WalrusError,
)
from walrus.client.sync import WalrusClient

__all__ = [
    "NotConnected",
    "OutcomeUnknown",
    "ProtocolError",
    "PutManyFailed",
    "Record",
    "ServerError",
    "TimedOut",
    "WalrusClient",
    "WalrusError",
]
