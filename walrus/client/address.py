"""Addresses and time-outs as users write them."""

from typing import NamedTuple

DEFAULT_ADDRESS = "127.0.0.1:9091"
TIMEOUT_MAX_S = 86_400  # more is a slip, and far more is refused by the operating system


class Address(NamedTuple):
    """Where a node listens for clients; ``host`` is a name or an IPv4 or IPv6 address, without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """``HOST:PORT`` (IPv6 as ``[::1]:9091``) as an address; a ValueError says what is wrong."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"bad address {text!r}: write an IPv6 address in brackets, such as [::1]:9091")
    if not colon or not host or any(character.isspace() for character in host):
        raise ValueError(f"bad address {text!r}: expected HOST:PORT, such as {DEFAULT_ADDRESS}")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65535):
        raise ValueError(f"bad address {text!r}: the port must be a number from 1 to 65535, not {port!r}")
    return Address(host, int(port))
