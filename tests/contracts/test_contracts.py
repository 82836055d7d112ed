"""The contracts hold together, and what derives from them agrees: catalog, Arrow, Spark, the source and the warehouse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from awsglue.utils import getResolvedOptions
from pyspark.sql.types import StructField
from totesys.contracts import MIRROR_LINEAGE, RAW_LINEAGE, Column, Contract, load_contracts, parse_contract
from totesys.contracts.arrow_types import arrow_schema
from totesys.contracts.spark_types import spark_schema
from totesys.lake.catalog_tables import mirror_table_inputs, raw_table_inputs, star_table_inputs
from totesys.runtime.arguments import IngestArguments, LoadArguments, TransformArguments, parse_arguments

CATALOG = Path(__file__).parents[2] / "catalog"
FILES = sorted(CATALOG.glob("*/*.json"))
CONTRACTS = load_contracts()
TYPES = {"integer": "int", "text": "string", "boolean": "boolean", "numeric(10,2)": "decimal(10,2)", "character varying(3)": "string"}


def test_eleven_tables_on_each_side() -> None:
    assert len(CONTRACTS.source) == len(CONTRACTS.warehouse) == 11


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_contract_follows_the_schema_and_is_named_as_its_file(path: Path) -> None:
    body = json.loads(path.read_text("utf-8"))
    jsonschema.Draft202012Validator(json.loads((CATALOG / "contract.schema.json").read_text("utf-8"))).validate(body)
    assert body["table"] == path.stem
    names = [column["name"] for column in body["columns"]]
    assert len(names) == len(set(names)) and body["key"] in names


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "view"},
        {"columns": []},
        {"key": "Payment Id"},
        {"surprise": 1},
        {"drift": {"column_dropped": "ignore"}},
        {"drift": {"type_widened": "ignore"}},
        {"drift": {"column_added": "evolve"}},
        {"drift": {"surprise": "hold"}},
    ],
    ids=str,
)
def test_the_schema_refuses_what_is_no_contract(change: dict[str, Any]) -> None:
    body = {**json.loads((CATALOG / "source" / "payment.json").read_text("utf-8")), **change}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(json.loads((CATALOG / "contract.schema.json").read_text("utf-8"))).validate(body)


def test_a_contract_says_what_happens_when_the_source_drifts() -> None:
    body = json.loads((CATALOG / "source" / "payment.json").read_text("utf-8"))
    body["drift"] = {"column_added": "hold", "type_widened": "evolve", "column_dropped": "fail"}
    jsonschema.Draft202012Validator(json.loads((CATALOG / "contract.schema.json").read_text("utf-8"))).validate(body)
    assert parse_contract(body).drift == {"column_added": "hold", "type_widened": "evolve", "column_dropped": "fail"}


@pytest.mark.parametrize("contract", [*CONTRACTS.source.values(), *CONTRACTS.warehouse.values()], ids=lambda contract: contract.table)
def test_a_contract_comes_back_from_its_body(contract: Contract) -> None:
    assert parse_contract(json.loads(contract.body)) == contract


@pytest.mark.parametrize("fact", CONTRACTS.facts.values(), ids=lambda fact: fact.table)
def test_every_date_of_a_fact_is_in_the_calendars_range_at_the_source(fact: Contract) -> None:
    for column in fact.columns:
        if column.references == "dim_date":
            table, _, name = str(column.origin).partition(".")
            origin = CONTRACTS.source[table].column(name)
            assert (origin.minimum, origin.maximum) == ("1990-01-01", "2100-12-31"), column.origin


@pytest.mark.parametrize("contract", CONTRACTS.source.values(), ids=lambda contract: contract.table)
def test_a_source_column_has_the_lake_type_of_its_own_type_and_refers_to_a_table_of_ours(contract: Contract) -> None:
    for column in contract.columns:
        expected = "timestamp" if str(column.source_type).startswith("timestamp(3)") else TYPES.get(str(column.source_type), "string")
        assert column.type == expected, column.name
        assert bool(column.values) == (column.source_type in ("transaction_type", "payment_type_name")), column.name
        assert column.references is None or column.references in CONTRACTS.source


@pytest.mark.parametrize("contract", CONTRACTS.warehouse.values(), ids=lambda contract: contract.table)
def test_a_warehouse_column_comes_from_a_column_of_its_inputs_with_its_type(contract: Contract) -> None:
    for column in contract.columns:
        assert column.references is None or column.references in CONTRACTS.dimensions
        table, _, name = str(column.origin).partition(".")
        if table in CONTRACTS.source:
            assert table in contract.inputs
            origin = CONTRACTS.source[table].column(name)
            assert column.type == origin.type or (
                column.type in ("date", "string") and (origin.format == "date" or origin.type == "timestamp")
            )
            assert column.nullable == origin.nullable or column.null_becomes is not None


def test_a_dimension_of_one_input_has_the_key_ranges_of_that_input() -> None:
    """The transform writes both from the same ranges."""
    for dimension in CONTRACTS.dimensions.values():
        if len(dimension.inputs) == 1:
            assert dimension.range_size == CONTRACTS.source[dimension.inputs[0]].range_size


def test_every_column_but_the_calendars_and_those_of_a_rule_is_derived_from_a_source_column() -> None:
    columns = {
        f"{contract.table}.{column.name}": str(column.origin).partition(".")
        for contract in CONTRACTS.warehouse.values()
        if contract.table != "dim_date"
        for column in contract.lake_columns
    }
    made = {name for name, (table, _, column) in columns.items() if column not in {one.name for one in _columns(table)}}
    assert made == {"dim_currency.currency_name"}


def _columns(table: str) -> tuple[Column, ...]:
    return CONTRACTS.source[table].columns if table in CONTRACTS.source else ()


def test_catalog_arrow_and_spark_have_the_same_columns_and_types() -> None:
    registered = {
        "raw": (raw_table_inputs(CONTRACTS, "b"), {name: (*one.columns, *RAW_LINEAGE) for name, one in CONTRACTS.source.items()}),
        "mirror": (mirror_table_inputs(CONTRACTS, "b"), {name: (*one.columns, *MIRROR_LINEAGE) for name, one in CONTRACTS.source.items()}),
        "warehouse": (star_table_inputs(CONTRACTS, "b"), {name: one.file_columns for name, one in CONTRACTS.warehouse.items()}),
    }
    spark_names = {"integer": "int", "long": "bigint", "timestamp_ntz": "timestamp"}
    arrow_names = {"int32": "int", "int64": "bigint", "bool": "boolean", "date32[day]": "date", "timestamp[us]": "timestamp"}

    def spark_name(field: StructField) -> str:
        return spark_names.get(str(field.dataType.jsonValue()), str(field.dataType.jsonValue()))

    for tables, columns_of in registered.values():
        for table in tables:
            columns = columns_of[table["Name"]]
            glue = [(column["Name"], column["Type"]) for column in table["StorageDescriptor"]["Columns"]]
            assert glue == [(field.name, spark_name(field)) for field in spark_schema(columns)]
            arrow = [(field.name, str(field.type).replace("decimal128", "decimal").replace(", ", ",")) for field in arrow_schema(columns)]
            assert glue == [(name, arrow_names.get(type_, type_)) for name, type_ in arrow]


@pytest.mark.parametrize("arguments", [TransformArguments, LoadArguments, IngestArguments], ids=lambda arguments: arguments.__name__)
def test_glues_own_parser_reads_the_same_arguments(arguments: type) -> None:
    names = [name for name in arguments.__dataclass_fields__ if not name.startswith("WORKFLOW_")]
    argv = ["job.py", "--JOB_NAME", "totesys-job", *(word for name in names for word in (f"--{name}", f"value of {name}"))]
    argv += ["--WORKFLOW_NAME", "totesys-publish", "--WORKFLOW_RUN_ID", "wr_1", "--enable-metrics", "true"]
    ours = parse_arguments(arguments, argv[1:])
    assert {name: getattr(ours, name) for name in names} == {name: getResolvedOptions(argv, names)[name] for name in names}
