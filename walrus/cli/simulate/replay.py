"""``walrus-sim replay``: run scenario files and compare with what each expects."""

import sys

import click
import msgspec

from walrus.cli.simulate import arguments
from walrus.cli.simulate.run import as_plain, tell
from walrus.sim.runner import run_scenario


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--quiet", "-q", is_flag=True, help="Only the verdicts.")
@arguments.output_format
def replay(files: tuple[str, ...], quiet: bool, form: str) -> None:
    """Run scenario files; fail where one does not end as it expects."""
    scenarios = [arguments.scenario(path) for path in files]
    surprises = 0
    for path, scenario in zip(files, scenarios, strict=True):
        result = run_scenario(scenario)
        found = result.property_broken or "clean"
        surprises += found != scenario.expect
        if form == "json":
            line = {"file": path, "as_expected": found == scenario.expect, "expected": scenario.expect}
            click.echo(msgspec.json.encode({**line, **as_plain(result)}))
            continue
        if not quiet:
            tell(result, path, f"walrus-sim replay {path}")
        verdict = "as expected" if found == scenario.expect else f"expected: {scenario.expect}"
        click.echo(f"{path}: {found} ({verdict})")
    sys.exit(1 if surprises else 0)
