"""`totesys cost`: what the pipeline costs in a month, and what changes that."""

from __future__ import annotations

from collections.abc import Mapping

import click
from rich.table import Table

from operations.cli.attempt import Attempt, attempted
from operations.cli.console import make_console, make_table, print_json
from operations.cli.options import examples, json_option
from operations.cost.figures import lever_costs, read_prices, read_usage, workload_costs


@click.command(epilog=examples("scripts/totesys cost"))
@json_option
@attempted("cost")
def cost(attempt: Attempt, as_json: bool) -> None:
    """Estimate what the pipeline costs on AWS in a month, and what changes that.

    Prices and usage are files in operations/cost/. The command uses neither AWS nor the network.

    \b
    With --json: {"region", "noted": day of the prices, "workloads": {NAME: {WHAT: USD}},
    "levers": {NAME: {"idle month": USD, "busy month": USD}}}
    """
    priced, prices = read_prices()
    usage = read_usage()
    workloads, levers = workload_costs(prices, usage), lever_costs(prices, usage)
    if as_json:
        print_json({"region": priced["region"], "noted": priced["noted"], "workloads": workloads, "levers": levers})
        return
    console = make_console()
    console.print(f"USD in {priced['region']}, prices noted on {priced['noted']}: check them before you rely on them")
    console.print(cost_table(workloads))
    console.print(lever_table(levers))


def cost_table(workloads: Mapping[str, Mapping[str, float]]) -> Table:
    """Return a table with a column per workload and a row per item that is paid for."""
    rows = [(what, *(_usd(parts[what]) for parts in workloads.values())) for what in next(iter(workloads.values()))]
    return make_table([("", "left"), *((name, "right") for name in workloads)], rows)


def lever_table(levers: Mapping[str, Mapping[str, float]]) -> Table:
    """Return a table of idle and busy months, with a row for each choice."""
    rows = [(name, *map(_usd, months.values())) for name, months in levers.items()]
    return make_table([("lever, without a VPC", "left"), ("idle month", "right"), ("busy month", "right")], rows)


def _usd(amount: float) -> str:
    return f"{amount:,.2f}"
