"""Ports for clusters that tests start."""

import os
import socket


def free_ports(count: int) -> int:
    """The first of ``count`` consecutive free ports below those that the system hands out by itself."""
    for first in range(20000 + os.getpid() % 5000, 32000, count):
        with_sockets = [socket.socket() for _ in range(count)]
        try:
            for offset, listener in enumerate(with_sockets):
                listener.bind(("127.0.0.1", first + offset))
        except OSError:
            continue
        finally:
            for listener in with_sockets:
                listener.close()
        return first
    raise AssertionError(f"no {count} consecutive free ports")
