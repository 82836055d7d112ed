"""The command behind scripts/totesys cost: what the pipeline costs in a month, and what changes that."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tomllib
from rich.table import Table

from operations.cli.console import make_console, make_table
from operations.cost.model import Prices, Usage, Workload, costs, interface_endpoints, month, naive_idle_month, nat_gateway, rebuild

FOLDER = Path(__file__).parent
INTERVALS = (10, 15)  # minutes: more, and a change may need longer than half an hour


def main(argv: Sequence[str]) -> int:
    """0: printed."""
    argparse.ArgumentParser(
        prog="scripts/totesys cost",
        description=f"Prints what the pipeline costs on AWS: prices and usage stand in operations/{FOLDER.name}/.",
    ).parse_args(argv)
    priced, prices = read_prices()
    usage = tomllib.loads((FOLDER / "usage.toml").read_text("utf-8"))
    console = make_console()
    console.print(f"USD in {priced['region']}, prices noted on {priced['noted']}: check them before you rely on them")
    console.print(cost_table(prices, usage))
    console.print(lever_table(prices, usage))
    return 0


def read_prices() -> tuple[dict[str, Any], Prices]:
    """Return prices.toml as it is, and the prices alone by their names."""
    priced = tomllib.loads((FOLDER / "prices.toml").read_text("utf-8"))
    return priced, {name: price["usd" if "usd" in price else "seconds"] for name, price in priced.items() if isinstance(price, dict)}


def cost_table(prices: Prices, usage: Usage) -> Table:
    """Each workload's costs: the workloads side by side, what is paid for below each other."""
    workloads = {
        "idle month": month(usage, busy=False),
        "idle, Spark at every tick": naive_idle_month(usage),
        "busy month": month(usage, busy=True),
        "full rebuild": rebuild(usage),
    }
    found = [costs(workload, prices, usage) for workload in workloads.values()]
    totals = [sum(parts.values()) for parts in found]
    rows = [(part, *(_usd(parts[part]) for parts in found)) for part in found[0]]
    rows.append(("in all, without a VPC", *map(_usd, totals)))
    for what, adds in (("in all, with a NAT gateway", nat_gateway), ("in all, with interface endpoints", interface_endpoints)):
        rows.append((what, *(_usd(total + adds(workload, prices, usage)) for total, workload in zip(totals, workloads.values()))))
    return make_table([("", "left"), *((name, "right") for name in workloads)], rows)


def lever_table(prices: Prices, usage: Usage) -> Table:
    """Idle and busy months without a VPC, by what one may choose."""

    def row(name: str, interval: int | None = None, worker_type: str = "G.1X") -> tuple[str, str, str]:
        months = [month(usage, busy=busy, interval=interval, worker_type=worker_type) for busy in (False, True)]
        idle, busy_month = (_usd(total(workload, prices, usage)) for workload in months)
        return name, idle, busy_month

    rows = [row(f"every {usage['month']['interval_minutes']} minutes, G.1X")]
    rows += [row(f"every {minutes} minutes", interval=minutes) for minutes in INTERVALS]
    rows.append(row("G.2X", worker_type="G.2X"))
    return make_table([("lever, without a VPC", "left"), ("idle month", "right"), ("busy month", "right")], rows)


def total(workload: Workload, prices: Prices, usage: Usage) -> float:
    return sum(costs(workload, prices, usage).values())


def _usd(amount: float) -> str:
    return f"{amount:,.2f}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
