"""``walrus-sim faults``: what can be done to a cluster."""

import inspect

import click

from walrus.sim.faults import KINDS


@click.command()
def faults() -> None:
    """List the fault kinds, for --faults."""
    width = max(len(kind.name) for kind in KINDS)
    for kind in KINDS:
        text = inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0].replace("\n", " ")
        click.echo(f"{kind.name:{width}}  {text}")
