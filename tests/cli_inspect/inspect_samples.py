"""Runs the command, and puts together what it is to look at."""

import json
import zlib
from pathlib import Path
from typing import Any, NamedTuple

from click.testing import CliRunner

from fuzz.samples import CORPUS, unpacked
from walrus.cli.client import main


class Outcome(NamedTuple):
    """Exit code, and the JSON objects printed."""

    code: int
    said: list[dict[str, Any]]

    @property
    def last(self) -> dict[str, Any]:
        """The report on the only file, or on the directory."""
        return self.said[-1]

    def about(self, name: str) -> dict[str, Any]:
        """The report on the file whose path ends like this."""
        (found,) = [said for said in self.said if "verdict" in said and said["file"].endswith(name)]
        return found

    @property
    def problems(self) -> list[tuple[str, int | None, str]]:
        """Of all files: level, position, text."""
        return [(p["level"], p["position"], p["text"]) for said in self.said for p in said.get("problems", ())]


def text_of(*arguments: str | Path) -> tuple[int, str]:
    """Exit code and what is printed."""
    result = CliRunner().invoke(main, ["inspect", *map(str, arguments)])
    assert isinstance(result.exception, SystemExit | None), result.exception
    return result.exit_code, result.output


def inspected(*arguments: str | Path) -> Outcome:
    code, output = text_of("--format", "json", *arguments)
    return Outcome(code, [json.loads(line) for line in output.splitlines()])


def with_crc(data: bytes, at: int, change: bytes, size: int) -> bytes:
    """The file with other bytes in its header of ``size`` bytes, whose checksum is made to fit."""
    head = bytearray(data[:size])
    head[at : at + len(change)] = change
    head[-4:] = zlib.crc32(head[:-4]).to_bytes(4, "little")
    return bytes(head) + data[size:]


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]


def sample_directory(name: str = "whole") -> dict[str, bytes]:
    """The files of a node that made a cluster, ran twice and sealed its first segment."""
    return unpacked((CORPUS / "startup" / name).read_bytes())


def written(root: Path, files: dict[str, bytes], node: int = 1) -> Path:
    """The files as a data directory below ``root``."""
    directory = root / f"node_{node}"
    for path, data in ({"lock": b"4711\n"} | files).items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(data)
    for name in ("raft_meta", "user_data"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    return directory
