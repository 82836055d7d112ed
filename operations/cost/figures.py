"""The figures that `totesys cost` prints, from prices.toml and usage.toml in this folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tomllib

from operations.cost.model import Prices, Usage, Workload, costs, interface_endpoints, month, naive_idle_month, nat_gateway, rebuild

FOLDER = Path(__file__).parent
INTERVALS = (10, 15)  # minutes: with longer intervals, a change may need more than half an hour


def read_prices() -> tuple[dict[str, Any], Prices]:
    """Return prices.toml as it is, and the prices alone by their names."""
    priced = tomllib.loads((FOLDER / "prices.toml").read_text("utf-8"))
    return priced, {name: price["usd" if "usd" in price else "seconds"] for name, price in priced.items() if isinstance(price, dict)}


def read_usage() -> Usage:
    """Return usage.toml."""
    return tomllib.loads((FOLDER / "usage.toml").read_text("utf-8"))


def workload_costs(prices: Prices, usage: Usage) -> dict[str, dict[str, float]]:
    """Return USD by workload and item. The last items are the totals: without a VPC, with a NAT gateway, with interface endpoints."""
    workloads = {
        "idle month": month(usage, busy=False),
        "idle, Spark at every tick": naive_idle_month(usage),
        "busy month": month(usage, busy=True),
        "full rebuild": rebuild(usage),
    }
    found = {}
    for name, workload in workloads.items():
        parts = costs(workload, prices, usage)
        usd = sum(parts.values())
        found[name] = {
            **parts,
            "in all, without a VPC": usd,
            "in all, with a NAT gateway": usd + nat_gateway(workload, prices, usage),
            "in all, with interface endpoints": usd + interface_endpoints(workload, prices, usage),
        }
    return found


def lever_costs(prices: Prices, usage: Usage) -> dict[str, dict[str, float]]:
    """Return USD of idle and busy months without a VPC, for each choice of interval and worker type."""

    def months(interval: int | None = None, worker_type: str = "G.1X") -> dict[str, float]:
        kinds = {"idle month": False, "busy month": True}
        return {
            name: total(month(usage, busy=busy, interval=interval, worker_type=worker_type), prices, usage) for name, busy in kinds.items()
        }

    return {
        f"every {usage['month']['interval_minutes']} minutes, G.1X": months(),
        **{f"every {minutes} minutes": months(interval=minutes) for minutes in INTERVALS},
        "G.2X": months(worker_type="G.2X"),
    }


def total(workload: Workload, prices: Prices, usage: Usage) -> float:
    return sum(costs(workload, prices, usage).values())
