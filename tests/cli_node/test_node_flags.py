"""Every flag and variable of ``walrus-node``: defaults, values, and what is said to impossible ones."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from walrus.cli import node
from walrus.cli.settings import Flags, SettingError, log_level, read_settings
from walrus.core.config import MS, SECOND, NodeConfig
from walrus.io.errors import StartError
from walrus.io.runtime import Settings


class Captured:
    """Stands in for the runtime; keeps what it was told."""

    def __init__(self) -> None:
        self.config: NodeConfig | None = None
        self.settings: Settings | None = None

    def run(self, config: NodeConfig, settings: Settings) -> int:
        self.config, self.settings = config, settings
        return 0


@pytest.fixture
def captured(monkeypatch: pytest.MonkeyPatch) -> Captured:
    stand_in = Captured()
    monkeypatch.setattr(node, "run_node", stand_in.run)
    for name in ("WALRUS_LOG", "RUST_LOG"):
        monkeypatch.delenv(name, raising=False)
    return stand_in


def invoke(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(node.main, arguments, env=environment)


def test_defaults_are_those_of_the_deployment_document(captured: Captured) -> None:
    assert invoke().exit_code == 0
    assert captured.settings == Settings(
        data_dir=Path("./data"),
        raft_host="127.0.0.1",
        raft_port=6000,
        raft_advertise_host="127.0.0.1",
        client_host="127.0.0.1",
        client_port=8080,
        log_level="info",
        log_file=None,
    )
    assert captured.config is not None
    assert (captured.config.node_id, captured.config.join, captured.config.initial_peers) == (1, (), ())
    assert captured.config.max_segment_entries == 1_000_000
    assert captured.config.monitor_interval_ns == 10 * SECOND
    assert captured.config.rpc_timeout_ns == 5 * SECOND


@pytest.mark.parametrize("equals", [True, False])
def test_every_flag_is_taken_with_a_space_or_an_equals_sign(captured: Captured, equals: bool) -> None:
    pairs = [
        ("--node-id", "4"),
        ("--data-dir", "/data"),
        ("--raft-port", "6004"),
        ("--raft-host", "0.0.0.0"),
        ("--raft-advertise-host", "node4"),
        ("--client-port", "9094"),
        ("--client-host", "::"),
        ("--join", "node1:6001"),
        ("--initial-peer", "node2:6002"),
        ("--initial-peer", "[fe80::1]:6003"),
        ("--log-file", "node.log"),
    ]
    arguments = [f"{k}={v}" for k, v in pairs] if equals else [part for pair in pairs for part in pair]
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    assert captured.settings == Settings(
        data_dir=Path("/data"),
        raft_host="0.0.0.0",
        raft_port=6004,
        raft_advertise_host="node4",
        client_host="::",
        client_port=9094,
        log_file=Path("node.log"),
    )
    assert captured.config is not None
    assert captured.config.node_id == 4
    assert captured.config.join == ("node1:6001",)
    assert captured.config.initial_peers == ("node2:6002", "[fe80::1]:6003")


def test_port_is_an_alias_of_client_port(captured: Captured) -> None:
    invoke("--port", "9099")
    assert captured.settings is not None
    assert captured.settings.client_port == 9099


@pytest.mark.parametrize(
    ("variable", "text", "field", "value"),
    [
        ("WALRUS_MAX_SEGMENT_ENTRIES", "10", "max_segment_entries", 10),
        ("WALRUS_MAX_SEGMENT_BYTES", "4096", "max_segment_bytes", 4096),
        ("WALRUS_MONITOR_CHECK_MS", "200", "monitor_interval_ns", 200 * MS),
        ("WALRUS_RPC_TIMEOUT_MS", "1500", "rpc_timeout_ns", 1500 * MS),
        ("WALRUS_MAX_FRAME_BYTES", "65536", "max_frame_bytes", 65536),
        ("WALRUS_SNAPSHOT_ENTRIES", "500", "snapshot_entries", 500),
        ("WALRUS_SNAPSHOT_BYTES", "65536", "snapshot_bytes", 65536),
        ("WALRUS_HEARTBEAT_MS", "20", "heartbeat_interval_ns", 20 * MS),
        ("WALRUS_LEASE_MS", "300", "lease_ns", 300 * MS),
        ("WALRUS_ELECTION_TIMEOUT_MS", "1000", "election_timeout_min_ns", 1000 * MS),
        ("WALRUS_ELECTION_TIMEOUT_MS", "1000", "election_timeout_max_ns", 1750 * MS),
        ("WALRUS_MAX_SEGMENT_ENTRIES", "", "max_segment_entries", 1_000_000),
    ],
)
def test_variables_set_the_settings_of_the_core(
    captured: Captured, variable: str, text: str, field: str, value: int
) -> None:
    result = invoke(**{variable: text})
    assert result.exit_code == 0, result.output
    assert getattr(captured.config, field) == value


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        (["--node-id", "0"], {}, "0 is not in the range"),
        (["--node-id", "one"], {}, "'one' is not a valid integer"),
        (["--raft-port", "65536"], {}, "65536 is not in the range"),
        (["--client-port", "-1"], {}, "-1 is not in the range"),
        (["--raft-port", "9091", "--client-port", "9091"], {}, "are both 9091; give each a port of its own"),
        (["--join", "node1"], {}, "--join: 'node1' is no address: expected HOST:PORT"),
        (["--join", "node1:70000"], {}, "the port has to be a number from 1 to 65535"),
        (["--initial-peer", ":6001"], {}, "--initial-peer: ':6001' is no address"),
        (["--raft-advertise-host", ""], {}, "--raft-advertise-host '': expected a host name"),
        (["--raft-advertise-host", "node1:6001"], {}, "expected a host without a port"),
        (["--raft-advertise-host", "0.0.0.0"], {}, "no peer can dial that"),
        (["--client-host", "my host"], {}, "--client-host 'my host': expected a host name"),
        (["--no-such-flag"], {}, "No such option"),
        (["extra"], {}, "unexpected extra argument"),
        ([], {"WALRUS_MAX_SEGMENT_ENTRIES": "0"}, "WALRUS_MAX_SEGMENT_ENTRIES=0: expected a whole number of entries"),
        ([], {"WALRUS_MAX_SEGMENT_BYTES": "1GB"}, "WALRUS_MAX_SEGMENT_BYTES=1GB: expected"),
        ([], {"WALRUS_MONITOR_CHECK_MS": "-5"}, "WALRUS_MONITOR_CHECK_MS=-5: expected"),
        ([], {"WALRUS_RPC_TIMEOUT_MS": "1.5"}, "WALRUS_RPC_TIMEOUT_MS=1.5: expected"),
        ([], {"WALRUS_MAX_FRAME_BYTES": "99999999"}, "from 1024 to 33554432"),
        ([], {"WALRUS_HEARTBEAT_MS": "300"}, "WALRUS_HEARTBEAT_MS=300: has to be at most half of a lease"),
        ([], {"WALRUS_LEASE_MS": "50", "WALRUS_HEARTBEAT_MS": "10"}, "WALRUS_LEASE_MS=50: has to be more than"),
        ([], {"WALRUS_LEASE_MS": "500"}, "WALRUS_ELECTION_TIMEOUT_MS=400: has to be at least as long as a lease"),
        ([], {"RUST_LOG": "loud"}, "RUST_LOG=loud: 'loud' is no log level; use debug, info, warn, error"),
    ],
)
def test_impossible_values_are_named_and_end_with_exit_code_2(
    captured: Captured, arguments: list[str], environment: dict[str, str], said: str
) -> None:
    result = invoke(*arguments, **environment)
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())
    assert captured.config is None


@pytest.mark.parametrize(
    ("environment", "level"),
    [
        ({}, "info"),
        ({"RUST_LOG": ""}, "info"),
        ({"RUST_LOG": "debug"}, "debug"),
        ({"RUST_LOG": "WARN"}, "warn"),
        ({"RUST_LOG": "trace"}, "debug"),
        ({"RUST_LOG": "info,openraft=debug"}, "info"),
        ({"RUST_LOG": "openraft=debug"}, "info"),
        ({"RUST_LOG": "openraft=debug, error"}, "error"),
        ({"WALRUS_LOG": "warning", "RUST_LOG": "debug"}, "warn"),
        ({"WALRUS_LOG": "", "RUST_LOG": "debug"}, "debug"),
        ({"WALRUS_LOG": "off"}, "off"),
    ],
)
def test_the_log_level_comes_from_walrus_log_or_else_rust_log(environment: dict[str, str], level: str) -> None:
    assert log_level(environment) == level


def test_variables_that_are_not_ours_are_warned_about() -> None:
    environment = {"WALRUS_RETENTION_GENERATIONS": "10", "WALRUS_DISABLE_IO_URING": "1", "PATH": "/bin"}
    _, settings = read_settings(Flags(), environment)
    assert settings.warnings == ("WALRUS_RETENTION_GENERATIONS is not known to walrus-node and has no effect",)


def test_listening_everywhere_without_an_advertised_host_warns() -> None:
    _, settings = read_settings(Flags(raft_host="0.0.0.0", join=("node1:6001",)), {})
    assert settings.raft_advertise_host == "127.0.0.1"
    assert "--raft-host 0.0.0.0 without --raft-advertise-host" in settings.warnings[0]


def test_one_port_on_two_interfaces_is_allowed() -> None:
    flags: dict[str, Any] = {"raft_port": 7000, "client_port": 7000}
    read_settings(Flags(raft_host="127.0.0.1", client_host="127.0.0.2", **flags), {})
    with pytest.raises(SettingError, match="both 7000"):
        read_settings(Flags(raft_host="127.0.0.1", client_host="0.0.0.0", **flags), {})


def test_a_node_that_cannot_start_says_why_and_exits_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(config: NodeConfig, settings: Settings) -> int:
        raise StartError("client port 127.0.0.1:9091 is already in use")

    monkeypatch.setattr(node, "run_node", refuse)
    result = invoke()
    assert result.exit_code == 1
    assert "walrus-node: client port 127.0.0.1:9091 is already in use" in result.output


def test_the_exit_code_of_the_runtime_is_the_exit_code_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "run_node", lambda config, settings: 7)
    assert invoke().exit_code == 7


def test_version_and_help_are_answered() -> None:
    assert invoke("--version").output.startswith("walrus-node, version 0.")
    text = invoke("--help").output
    for word in ("--raft-advertise-host", "--initial-peer", "WALRUS_MAX_SEGMENT_ENTRIES", "[default: 6000"):
        assert word in text


@pytest.mark.parametrize(("value", "mode"), [("", 0), ("always", 0), (" interval:50 ", 50), ("never", (1 << 63) - 1)])
def test_the_durability_of_new_topics_comes_from_walrus_durability(value: str, mode: int) -> None:
    config, settings = read_settings(Flags(), {"WALRUS_DURABILITY": value})
    assert config.durability == mode
    assert settings.warnings == ()


@pytest.mark.parametrize("value", ["fsync", "interval", "interval:0", "interval:99999999999"])
def test_no_durability_is_refused_with_its_value_and_what_would_be_right(value: str) -> None:
    with pytest.raises(SettingError, match=rf"^WALRUS_DURABILITY={value}: .*always, interval:<ms> .* or never"):
        read_settings(Flags(), {"WALRUS_DURABILITY": value})
