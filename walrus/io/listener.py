"""Listening sockets."""

import errno
import socket

from walrus.io.addresses import PORT_MAX, format_address
from walrus.io.errors import StartError, describe

_BACKLOG = 1024


def listen(host: str, port: int, purpose: str) -> socket.socket:
    """Return a non-blocking listening TCP socket on ``host:port`` (port 0: any free one).

    ``purpose`` names it in errors, such as ``client port``.

    Raises:
        StartError: the address is taken, not ours, or no address.
    """
    where = format_address(host, port)
    if not 0 <= port <= PORT_MAX:
        raise StartError(f"cannot listen on {purpose} {where}: a port is a number from 0 to {PORT_MAX}")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise StartError(f"cannot listen on {purpose} {where}: host '{host}' does not resolve") from error
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise StartError(
                f"{purpose} {where} is already in use; `lsof -i :{port}` shows which process has it:"
                " stop that one (make cluster-down, where it is a container) or choose another port"
            ) from error
        raise StartError(f"cannot listen on {purpose} {where}: {describe(error)}") from error
    sock.setblocking(False)
    return sock
