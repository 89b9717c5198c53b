"""``host:port`` texts."""

import ipaddress
import socket
from typing import Final

PORT_MAX: Final = 65_535


def parse_address(text: str) -> tuple[str, int]:
    """Split ``host:port`` (``[::1]:port`` for IPv6) into host and port.

    Raises:
        ValueError: with a text that names the value and says what would be right.
    """
    host, colon, port_text = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"'{text}' is no address: an IPv6 host goes in brackets, as in [::1]:6001")
    if not colon or not host:
        raise ValueError(f"'{text}' is no address: expected HOST:PORT, such as node1:6001")
    if not (port_text.isascii() and port_text.isdigit() and 1 <= int(port_text) <= PORT_MAX):
        raise ValueError(f"'{text}' is no address: the port has to be a number from 1 to {PORT_MAX}")
    return host, int(port_text)


def format_address(host: str, port: int) -> str:
    """Return ``host:port``, with brackets around an IPv6 host."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def literal_family(host: str) -> socket.AddressFamily | None:
    """Return the family of an IP address written out, or None for a name that has to be resolved."""
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return None
    return socket.AF_INET if version == 4 else socket.AF_INET6
