"""``kill -9`` of a random node, again and again, under load: what was acknowledged has to be there, with each driver.

For each storage driver, a three-node cluster of its own. Three writers, each connected to another node first, PUT one
unique record after the other without a pause. In each round a node drawn at random is killed, the writers go on,
the node is started again on its data, and the cluster becomes whole. In the end every record is read back by offset
and compared: acknowledged ones must be there, once, in their writer's order; refused ones must not; of unknown outcome
may. Exit code 1 where that does not hold, or where a node did not run on the driver in question.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "cluster"))

from cluster import Cluster, started
from traffic import Writer, judge

from walrus.io.storage_choice import choose

TOPIC = "killed"
NODES = (1, 2, 3)
SETTINGS = {"io_uring": "0", "mmap": "1"}  # WALRUS_DISABLE_IO_URING
BEFORE = 20  # acknowledgements to each writer before the kill
AFTER = 10  # and before the node is started again


def one_round(cluster: Cluster, writers: Sequence[Writer], victim: int) -> None:
    for writer in writers:
        writer.until_acknowledged(BEFORE)
    cluster.kill(victim)
    for writer in writers:
        writer.until_acknowledged(AFTER)
    cluster.start_node(victim)
    cluster.until_formed()


def rounds_on(driver: str, rounds: int, seed: int, directory: Path) -> str:
    """Run all rounds on one driver; a line of figures. Raises AssertionError where something is lost."""
    chance = random.Random(seed)
    settings = {"WALRUS_DISABLE_IO_URING": SETTINGS[driver], "RUST_LOG": "info"}
    began = time.monotonic()
    with started(directory, environment=settings) as cluster:
        cluster.register(TOPIC)
        cluster.until_replicated(TOPIC)
        addresses = [cluster.client_address(node) for node in NODES]
        writers = [Writer(f"w{node}", TOPIC, addresses[node - 1 :] + addresses[: node - 1]) for node in NODES]
        for writer in writers:
            writer.start()
        leaders = 0
        for number in range(1, rounds + 1):
            victim = chance.choice(NODES)
            leaders += cluster.segment_leader(TOPIC) == victim
            one_round(cluster, writers, victim)
            print(f"{driver}: round {number} of {rounds}, node {victim}", flush=True)
        for writer in writers:
            writer.finish()
        records = cluster.read_all(TOPIC, chance.choice(NODES))
        judge(records, writers)
        for node in NODES:
            starts = cluster.log_text(node).count(f"storage driver: {driver}")
            assert starts == cluster.log_text(node).count("storage driver: "), f"node {node} did not run on {driver}"
    acknowledged = sum(len(writer.acknowledged) for writer in writers)
    unknown = sum(len(writer.unknown) for writer in writers)
    refused = sum(len(writer.refused) for writer in writers)
    return (
        f"{driver}: {rounds} kills ({leaders} of the segment's leader) in {time.monotonic() - began:.0f} s;"
        f" {acknowledged} acknowledged, {unknown} unknown, {refused} refused; lost 0, doubled 0, out of order 0"
    )


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=50, help="kills on each driver (50)")
    parser.add_argument("--seed", type=int, default=1, help="which nodes are killed (1)")
    parser.add_argument("--driver", choices=sorted(SETTINGS), action="append", help="only this one; repeatable")
    parser.add_argument("--data-dir", type=Path, help="below which the clusters' data goes (/tmp)")
    options = parser.parse_args(argv)
    lines: list[str] = []
    for driver in options.driver or SETTINGS:
        if driver == "io_uring" and choose(False).name != driver:
            lines.append(f"io_uring: skipped, {choose(False).reason}")
            continue
        with tempfile.TemporaryDirectory(prefix="walrus-kills-", dir=options.data_dir) as directory:
            try:
                lines.append(rounds_on(driver, options.rounds, options.seed, Path(directory) / "data"))
            except AssertionError as error:
                print(f"{driver}: {error}", file=sys.stderr)
                return 1
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
