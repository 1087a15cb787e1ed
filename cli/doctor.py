"""`cellflow doctor`: report what this machine has."""

import click

from .options import json_option


@click.command()
@click.option("--warm", is_flag=True, help="Also compile and cache every kernel.")
@json_option
def command(warm: bool, as_json: bool) -> None:
    """Report versions, devices and weights; paste the result into a bug report."""
    from cellflow.doctor import machine_report, warm_kernels
    from cellflow.jsontext import to_json

    report = machine_report()
    if warm:
        report["kernels"] = f"compiled or loaded in {warm_kernels():.1f} s"
    if as_json:
        click.echo(to_json(report))
        return
    width = max(map(len, report))
    for name, value in report.items():
        click.echo(f"{name:<{width}}  {value}")
