"""``walrus-sim``: run simulated clusters under faults and say whether every property held.

Exit status: 0 all as it should be, 1 a property was broken, 2 wrong usage, 130 interrupted without a finding.
"""

import sys

import click

from walrus.cli.simulate import arguments
from walrus.cli.simulate.campaign import campaign, run_and_tell
from walrus.cli.simulate.faults import faults
from walrus.cli.simulate.replay import replay
from walrus.cli.simulate.run import run, run_one
from walrus.cli.simulate.show import show
from walrus.cli.simulate.shrink import shrink


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--seed", help="Run this seed and tell its story. Default: a random one.")
@click.option("--seeds", help="Run a campaign over the seeds A..B, both included, on all cores.")
@arguments.of_a_run
@click.option("--jobs", type=int, help="Processes for a campaign. Default: one per core.")
@click.option("--trace", type=click.Path(dir_okay=False), help="Write every event and action of the run to this file.")
@click.pass_context
def main(
    context: click.Context,
    /,
    seed: str | None,
    seeds: str | None,
    jobs: int | None,
    trace: str | None,
    **settings: arguments.Setting,
) -> None:
    """Torment simulated clusters: the shipped node, under faults that a seed decides, in simulated time.

    The same seed with the same options is the same run, byte for byte, on every machine. Without a command: one run
    (`--seed N`), or a campaign (`--seeds A..B`).
    """
    if context.invoked_subcommand is not None:
        arguments.refuse_before_command(context)
        return
    options, processes = arguments.options(settings), arguments.jobs(jobs)
    if seeds is None:
        sys.exit(run_one(arguments.seed_or_random(seed), options, trace, "text"))
    if seed is not None or trace is not None:
        raise click.UsageError("--seeds cannot be combined with --seed or --trace.")
    sys.exit(run_and_tell(arguments.seed_range(seeds, "--seeds"), options, processes, "text", None))


for command in (run, campaign, replay, shrink, show, faults):
    main.add_command(command)
