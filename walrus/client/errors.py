"""What can go wrong for a client, told apart by what the caller may do next."""


class WalrusError(Exception):
    """Base of all errors of this library; its text says what happened, to which request, at which address."""


class ServerError(WalrusError):
    """A node refused the request (``ERR ...``): it was not carried out. ``text`` is what follows ``ERR ``."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class OutcomeUnknown(WalrusError):
    """The request may or may not have been carried out. Sending a PUT again may store its record twice."""


class NotConnected(WalrusError):
    """No node could be reached, or the connection broke; the request had no effect, or may be repeated."""


class TimedOut(NotConnected):
    """No answer came in time, to a request that had no effect or may be repeated."""


class ProtocolError(WalrusError):
    """What came back is not the Walrus client protocol: the address belongs to another kind of server."""


class PutManyFailed(WalrusError):
    """Some records of a ``put_many`` were not acknowledged. Indexes count its records from 0.

    ``refused`` maps an index to the node's error text; ``unknown`` holds the indexes that may or may not be
    stored; from ``unsent_from`` on nothing was sent. All others, ``acknowledged`` in number, are stored.
    ``problem`` says why the connection ended early; empty if it did not.
    """

    def __init__(
        self,
        text: str,
        acknowledged: int,
        refused: dict[int, str],
        unknown: list[int],
        unsent_from: int,
        problem: str,
    ) -> None:
        super().__init__(text)
        self.problem = problem
        self.acknowledged = acknowledged
        self.refused = refused
        self.unknown = unknown
        self.unsent_from = unsent_from
