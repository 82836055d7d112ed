"""The warehouse contracts with a column more."""

from __future__ import annotations

import json

from totesys.contracts import load_contracts, parse_contract

WAREHOUSE = load_contracts().warehouse
COLOUR = {"name": "colour", "type": "string", "warehouse_type": "varchar", "nullable": True, "description": "Colour.", "origin": "made"}


CHECKED = {**COLOUR, "name": "checked_date", "type": "date", "warehouse_type": "date", "references": "dim_date"}


def with_column(table, column):
    """The warehouse contracts, with a column more in the middle of a table."""
    body = json.loads(WAREHOUSE[table].body)
    contract = parse_contract({**body, "version": 2, "columns": [*body["columns"][:2], column, *body["columns"][2:]]})
    return {name: contract if name == table else other for name, other in WAREHOUSE.items()}
