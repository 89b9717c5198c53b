"""Flags and environment of ``walrus-node`` as settings, each value checked where its name is still known."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from walrus import __version__
from walrus.core.config import MS, NodeConfig
from walrus.core.metadata.durability import ALWAYS, DurabilityError, parse_durability
from walrus.io.addresses import literal_family, parse_address
from walrus.io.logs import LEVELS
from walrus.io.runtime import Settings

_LEVEL_ALIASES: Final = {"trace": "debug", "warning": "warn"}
_WILDCARDS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # every interface -> the loopback one
_MS_MAX: Final = 24 * 3600 * 1000
_MIB: Final = 1024 * 1024


class SettingError(ValueError):
    """A flag or variable has an impossible value; the text names it, the value, and what would be right."""


@dataclass(frozen=True)
class Flags:
    """The command line of ``walrus-node``, as parsed."""

    node_id: int = 1
    data_dir: Path = Path("./data")
    raft_port: int = 6000
    raft_host: str = "127.0.0.1"
    raft_advertise_host: str | None = None
    client_port: int = 8080
    client_host: str = "127.0.0.1"
    join: tuple[str, ...] = ()
    initial_peers: tuple[str, ...] = ()
    log_file: Path | None = None


@dataclass(frozen=True)
class _Number:
    """A variable that sets a field of NodeConfig to ``value * factor``; ``least <= value <= most``."""

    field: str
    factor: int
    least: int
    most: int
    unit: str


_NUMBERS: Final[dict[str, _Number]] = {
    "WALRUS_MAX_SEGMENT_ENTRIES": _Number("max_segment_entries", 1, 1, 2**40, "entries"),
    "WALRUS_MAX_SEGMENT_BYTES": _Number("max_segment_bytes", 1, 1, 2**40, "bytes"),
    "WALRUS_MONITOR_CHECK_MS": _Number("monitor_interval_ns", MS, 1, _MS_MAX, "milliseconds"),
    "WALRUS_RPC_TIMEOUT_MS": _Number("rpc_timeout_ns", MS, 1, _MS_MAX, "milliseconds"),
    # A client's frame travels between nodes inside one of theirs, which holds 64 MiB.
    "WALRUS_MAX_FRAME_BYTES": _Number("max_frame_bytes", 1, 1024, 32 * _MIB, "bytes"),
    "WALRUS_SNAPSHOT_ENTRIES": _Number("snapshot_entries", 1, 1, 2**40, "entries"),
    "WALRUS_SNAPSHOT_BYTES": _Number("snapshot_bytes", 1, 1024, 2**40, "bytes"),
    "WALRUS_REPAIR_BYTES_PER_S": _Number("repair_bytes_per_s", 1, 65_536, 2**40, "bytes per second"),
    "WALRUS_SCRUB_BYTES_PER_S": _Number("scrub_bytes_per_s", 1, 0, 2**40, "bytes per second"),
    "WALRUS_SCRUB_INTERVAL_MS": _Number("scrub_interval_ns", MS, 1, _MS_MAX, "milliseconds"),
    "WALRUS_HEARTBEAT_MS": _Number("heartbeat_interval_ns", MS, 1, _MS_MAX, "milliseconds"),
    "WALRUS_LEASE_MS": _Number("lease_ns", MS, 1, _MS_MAX, "milliseconds"),
    "WALRUS_ELECTION_TIMEOUT_MS": _Number("election_timeout_min_ns", MS, 1, _MS_MAX, "milliseconds"),
}
_DURABILITY: Final = "WALRUS_DURABILITY"
_DISABLE_IO_URING: Final = "WALRUS_DISABLE_IO_URING"
_OTHERS: Final = ("WALRUS_LOG", _DISABLE_IO_URING, _DURABILITY)


def read_settings(flags: Flags, environ: Mapping[str, str]) -> tuple[NodeConfig, Settings]:
    """Return what the core and the runtime are told.

    Raises:
        SettingError: a value is impossible, by itself or beside another.
    """
    _check_host("--raft-host", flags.raft_host)
    _check_host("--client-host", flags.client_host)
    for address in flags.join:
        _check_address("--join", address)
    for address in flags.initial_peers:
        _check_address("--initial-peer", address)
    _check_ports(flags)
    advertise_host, warnings = _advertise_host(flags)
    config = NodeConfig(
        node_id=flags.node_id,
        advertise_address="",
        join=flags.join,
        initial_peers=flags.initial_peers,
        version=__version__,
        durability=default_durability(environ),
        **_numbers(environ),
    )
    _check_times(config)
    settings = Settings(
        data_dir=flags.data_dir,
        raft_host=flags.raft_host,
        raft_port=flags.raft_port,
        raft_advertise_host=advertise_host,
        client_host=flags.client_host,
        client_port=flags.client_port,
        log_level=log_level(environ),
        log_file=flags.log_file,
        disable_io_uring=disables_io_uring(environ),
        warnings=(*warnings, *_unknown(environ)),
    )
    return config, settings


def log_level(environ: Mapping[str, str]) -> str:
    """Return the level that ``WALRUS_LOG``, or else ``RUST_LOG``, asks for; info where neither is set.

    Directives for single modules (``info,foo=debug``) mean other programs: only the global one counts here.

    Raises:
        SettingError: an unknown level.
    """
    name = "WALRUS_LOG" if environ.get("WALRUS_LOG") else "RUST_LOG"
    chosen = "info"
    for directive in environ.get(name, "").split(","):
        level = directive.strip().lower()
        if not level or "=" in level:
            continue
        level = _LEVEL_ALIASES.get(level, level)
        if level not in LEVELS:
            raise SettingError(f"{name}={environ[name]}: {directive!r} is no log level; use {', '.join(LEVELS)}")
        chosen = level
    return chosen


def default_durability(environ: Mapping[str, str]) -> int:
    """Return the mode that ``WALRUS_DURABILITY`` names; ``always`` where it is not set.

    Raises:
        SettingError: no mode.
    """
    text = environ.get(_DURABILITY, "").strip()
    try:
        return parse_durability(text) if text else ALWAYS
    except DurabilityError as error:
        raise SettingError(f"{_DURABILITY}={text}: {error}") from error


def disables_io_uring(environ: Mapping[str, str]) -> bool:
    """Whether ``WALRUS_DISABLE_IO_URING`` is set to anything but nothing and 0."""
    return environ.get(_DISABLE_IO_URING, "").strip() not in ("", "0")


def _numbers(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of NodeConfig that variables set."""
    fields: dict[str, Any] = {}
    for name, number in _NUMBERS.items():
        text = environ.get(name, "").strip()
        if not text:
            continue
        value = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else -1
        if not number.least <= value <= number.most:
            raise SettingError(
                f"{name}={text}: expected a whole number of {number.unit} from {number.least} to {number.most}"
            )
        fields[number.field] = value * number.factor
    if "election_timeout_min_ns" in fields:
        # The same spread as the defaults: 400 to 700 ms.
        fields["election_timeout_max_ns"] = fields["election_timeout_min_ns"] * 7 // 4
    return fields


def _check_times(config: NodeConfig) -> None:
    heartbeat_ms, lease_ms = config.heartbeat_interval_ns // MS, config.lease_ns // MS
    election_ms, margin_ms = config.election_timeout_min_ns // MS, config.lease_margin_ns // MS
    if lease_ms < 2 * heartbeat_ms:
        raise SettingError(
            f"WALRUS_HEARTBEAT_MS={heartbeat_ms}: has to be at most half of a lease,"
            f" which is {lease_ms} ms (WALRUS_LEASE_MS)"
        )
    if lease_ms <= margin_ms:
        raise SettingError(
            f"WALRUS_LEASE_MS={lease_ms}: has to be more than the margin for clock drift, {margin_ms} ms"
        )
    if election_ms < lease_ms:
        raise SettingError(
            f"WALRUS_ELECTION_TIMEOUT_MS={election_ms}: has to be at least as long as a lease,"
            f" which is {lease_ms} ms (WALRUS_LEASE_MS)"
        )


def _check_host(flag: str, host: str) -> None:
    if not host or any(character.isspace() for character in host):
        raise SettingError(f"{flag} '{host}': expected a host name or an IP address")
    if ":" in host and literal_family(host) is None:
        raise SettingError(f"{flag} '{host}': expected a host without a port; the port has a flag of its own")


def _check_address(flag: str, address: str) -> None:
    try:
        parse_address(address)
    except ValueError as error:
        raise SettingError(f"{flag}: {error}") from error


def _check_ports(flags: Flags) -> None:
    """Refuse one port for both listeners, unless they are on different interfaces."""
    meet = flags.raft_host == flags.client_host or flags.raft_host in _WILDCARDS or flags.client_host in _WILDCARDS
    if flags.raft_port == flags.client_port != 0 and meet:
        raise SettingError(f"--raft-port and --client-port are both {flags.raft_port}; give each a port of its own")


def _advertise_host(flags: Flags) -> tuple[str, tuple[str, ...]]:
    """Return the host that peers are told, and a warning where it cannot work beyond this machine."""
    host = flags.raft_advertise_host
    if host is not None:
        _check_host("--raft-advertise-host", host)
        if host in _WILDCARDS:
            raise SettingError(
                f"--raft-advertise-host {host}: no peer can dial that;"
                " give the name or address by which peers reach this machine"
            )
        return host, ()
    if flags.raft_host not in _WILDCARDS:
        return flags.raft_host, ()
    local = _WILDCARDS[flags.raft_host]
    warning = (
        f"--raft-host {flags.raft_host} without --raft-advertise-host: peers are told {local}, which works on"
        " one machine only; give the name or address by which peers reach this machine"
    )
    return local, (warning,)


def _unknown(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return a warning for each variable that looks like ours but is not."""
    return tuple(
        f"{name} is not known to walrus-node and has no effect"
        for name in sorted(environ)
        if name.startswith("WALRUS_") and name not in _NUMBERS and name not in _OTHERS
    )
