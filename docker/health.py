"""Health check of the image: ask ``/healthz`` of the node that is process 1. Exit 0 if it is well, else 1."""

import argparse
import socket
import sys
from pathlib import Path

DEFAULT_CLIENT_PORT = 8080
REQUEST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def client_port(cmdline: bytes) -> int:
    """The client port that a node with this NUL-separated command line listens on."""
    flags = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    flags.add_argument("--client-port", "--port", type=int, default=DEFAULT_CLIENT_PORT, dest="port")
    port: int = flags.parse_known_args(cmdline.decode(errors="replace").split("\0"))[0].port
    return port


def main() -> int:
    port = client_port(Path("/proc/1/cmdline").read_bytes())
    try:
        with socket.create_connection(("127.0.0.1", port), 3.0) as connection:
            connection.sendall(REQUEST)
            status = connection.recv(4096).partition(b"\r\n")[0].decode(errors="replace")
    except OSError as error:
        print(f"port {port} does not answer: {error}")
        return 1
    print(status)
    return 0 if status.split(" ")[1:2] == ["200"] else 1


if __name__ == "__main__":
    sys.exit(main())
