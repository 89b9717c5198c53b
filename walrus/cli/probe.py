"""Whether running nodes have formed one cluster, and waiting until they have.

``python -m walrus.cli.probe --voters 1,2,3 HOST:PORT ...`` waits until every address answers ``METRICS`` with
the given nodes as voters and all name one Raft leader. Exit 0, or 1 after ``--timeout`` seconds.
"""

import argparse
import selectors
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from walrus.client.address import parse_address
from walrus.client.errors import WalrusError
from walrus.client.sync import WalrusClient


def voters_of(metrics: dict[str, Any]) -> set[int]:
    """The nodes that are voters in every configuration of an answer to ``METRICS``."""
    configs = metrics["membership_config"]["membership"]["configs"]
    return set.intersection(*(set(config) for config in configs)) if configs else set()


def why_not_formed(addresses: Iterable[str], voters: set[int], timeout_s: float = 2.0) -> str:
    """What keeps these nodes from being one cluster in which ``voters`` vote; empty if nothing does."""
    leaders: set[int | None] = set()
    for address in addresses:
        try:
            with WalrusClient([address], timeout_s) as client:
                metrics = client.metrics()
        except WalrusError as error:
            return str(error)
        leaders.add(metrics["current_leader"])
        if missing := sorted(voters - voters_of(metrics)):
            return f"{address} does not count as voters yet: {', '.join(map(str, missing))}"
    if None in leaders or len(leaders) != 1:
        return "the nodes have not agreed on a Raft leader yet"
    return ""


def wait_until(is_amiss: Callable[[], str], timeout_s: float, interval_s: float = 0.1) -> str:
    """Call ``is_amiss`` until it returns the empty string, or give its last answer after ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    with selectors.DefaultSelector() as pause:
        while amiss := is_amiss():
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return amiss
            pause.select(min(interval_s, left_s))
    return ""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of ``python -m walrus.cli.probe``."""
    parser = argparse.ArgumentParser(prog="walrus.cli.probe", description=__doc__.partition("\n")[0])
    parser.add_argument("addresses", nargs="+", metavar="HOST:PORT")
    parser.add_argument("--voters", default="1,2,3", help="node ids that must be voters (default 1,2,3)")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds to wait (default 60)")
    options = parser.parse_args(argv)
    try:
        addresses = [str(parse_address(text)) for text in options.addresses]
        voters = {int(text) for text in options.voters.split(",")}
    except ValueError as error:
        parser.error(str(error))
    amiss = wait_until(lambda: why_not_formed(addresses, voters), options.timeout)
    if amiss:
        print(f"no cluster after {options.timeout:g} s: {amiss}", file=sys.stderr)
        return 1
    print(f"The cluster is up: nodes {options.voters} are voters and agree on their leader.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
