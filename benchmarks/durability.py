"""PUTs per second by durability mode: ``python benchmarks/durability.py [--rounds 3] [--data-dir DIR]``.

Each round runs ``walrus-bench --spawn`` once per mode, on a cluster of its own, so that what else the machine does
falls on all modes alike. Shown are medians over the rounds and the ratio to ``always``; the data directory should be on
the disk that is meant, since that is what the modes differ in.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

MODES: Final = ("always", "interval:1000", "interval:50", "never")
ROWS: Final = "64x1,1x512"


def run(mode: str, seconds: float, data_dir: Path | None) -> list[dict[str, Any]]:
    """One cluster in this mode; a row of results per shape. Raises CalledProcessError."""
    command = [sys.executable, "-m", "walrus.cli.bench", "--spawn", "--json", "--rows", ROWS, "--seconds", str(seconds)]
    if data_dir is not None:
        command += ["--data-dir", str(data_dir)]
    environment = {**os.environ, "WALRUS_DURABILITY": mode}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="measured a row (3)")
    parser.add_argument("--data-dir", type=Path, help="below this (/tmp)")
    options = parser.parse_args()
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for _ in range(options.rounds):
        for mode in MODES:
            for row in run(mode, options.seconds, options.data_dir):
                shape = f"{row['connections']}x{row['in_flight']}"
                found.setdefault((shape, mode), []).append(row)
    print(f"medians of {options.rounds} rounds\nshape   mode             PUT/s  to always    p50 ms    p99 ms")
    for shape in ROWS.split(","):
        base = statistics.median(row["puts_per_second"] for row in found[shape, "always"])
        for mode in MODES:
            rate, p50, p99 = (
                statistics.median(row[name] for row in found[shape, mode])
                for name in ("puts_per_second", "p50_ms", "p99_ms")
            )
            print(f"{shape:<7} {mode:<14} {rate:>7,.0f} {rate / base:>10.2f} {p50:>9.2f} {p99:>9.2f}", flush=True)


if __name__ == "__main__":
    main()
