"""scripts/totesys schema on a deployed stack: what is registered, what it was, and what the source has."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from totesys.contracts import load_contracts

from local_aws.environment import aws_environment
from operations.registry import contracts
from tests.support.commands import totesys
from tests.support.stack import PROJECT, DeployedStack

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def schema(stack: DeployedStack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command in the stack's environment: exit code, stdout, stderr."""
    for name, value in {**aws_environment(stack.aws.endpoint), "TOTESYS_PROJECT": PROJECT}.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str) -> tuple[int, str, str]:
        ended = totesys(capsys, "schema", *arguments)
        return ended.code, ended.text, ended.err

    return run


@pytest.fixture
def coloured(stack: DeployedStack) -> Iterator[None]:
    """A source whose designs have a colour."""
    execute(stack, "ALTER TABLE design ADD COLUMN colour text")
    yield
    execute(stack, "ALTER TABLE design DROP COLUMN colour")


def execute(stack: DeployedStack, statement: str) -> None:
    with stack.source.connect() as connection, connection.cursor() as cursor:
        cursor.execute(statement)
    connection.close()


@pytest.fixture
def second_version(stack: DeployedStack) -> Iterator[None]:
    """A second registered version of department, which no other test registers again: its name may be null."""
    glue, place = stack.aws.glue, {"DatabaseName": stack.deployment.ingestion_database}
    table = glue.get_table(**place, Name="department")["Table"]
    kept: dict[str, Any] = {
        name: table[name] for name in ("Name", "Description", "Owner", "TableType", "StorageDescriptor", "PartitionKeys")
    }
    body = json.loads(table["Parameters"]["contract"])
    body = {**body, "version": 2, "columns": [{**one, "nullable": one["name"] == "department_name"} for one in body["columns"]]}
    glue.update_table(**place, TableInput={**kept, "Parameters": {**table["Parameters"], "contract": json.dumps(body)}})
    yield
    glue.update_table(**place, TableInput={**kept, "Parameters": table["Parameters"]})


def lines(out: str) -> dict[str, list[str]]:
    return {line.split()[0]: line.split() for line in out.splitlines() if line.strip()}


@pytest.mark.usefixtures("coloured")
def test_list_says_which_version_is_registered_and_whether_the_source_agrees(schema: Run) -> None:
    exit_code, out, _ = schema("list")
    assert exit_code == 0
    assert lines(out)["design"][1:3] == ["1", "1"] and lines(out)["design"][-3:] == ["6", "1", "difference"]
    assert lines(out)["currency"][-1] == "agrees"
    assert set(load_contracts().warehouse) <= lines(out).keys()


def test_list_goes_on_when_the_source_is_out_of_reach(schema: Run, stack: DeployedStack) -> None:
    secret, secrets = stack.deployment.source_secret, stack.aws.client("secretsmanager")
    body = secrets.get_secret_value(SecretId=secret)["SecretString"]
    secrets.put_secret_value(SecretId=secret, SecretString=json.dumps({**json.loads(body), "port": 1}))
    try:
        exit_code, out, _ = schema("list")
    finally:
        secrets.put_secret_value(SecretId=secret, SecretString=body)
    assert exit_code == 0
    assert lines(out)["design"][-2:] == ["not", "reached"]
    assert "the source was not reached: " in out


@pytest.mark.usefixtures("second_version")
def test_an_earlier_version_can_be_shown_and_the_history_says_what_changed(schema: Run) -> None:
    assert lines(schema("show", "department")[1])["department_name"][:3] == ["department_name", "string", "yes"]
    assert lines(schema("show", "department", "--version", "1")[1])["department_name"][:3] == ["department_name", "string", "no"]
    history = schema("history", "department")[1]
    assert (
        history.index("version 2, registered")
        < history.index("department_name.nullable: False -> True")
        < history.index("version 1, registered")
    )
    assert schema("show", "department", "--version", "7")[::2] == (
        2,
        "schema: could not start: department has no registered version 7: there are 2, 1\n",
    )


def test_show_names_type_origin_and_range(schema: Run) -> None:
    out = schema("show", "payment")[1]
    assert "timestamp(3) without time zone" in out and "1990-01-01 … 2100-12-31" in out


@pytest.mark.usefixtures("coloured")
def test_diff_names_what_the_source_has_and_the_contract_does_not(schema: Run) -> None:
    exit_code, out, _ = schema("diff", "design")
    assert exit_code == 1
    assert "design.colour: expected no such column, found text" in out
    assert schema("diff", "currency")[0] == schema("diff", "dim_design")[0] == 0


@pytest.mark.usefixtures("second_version")
def test_diff_names_what_the_contract_file_would_change(schema: Run) -> None:
    exit_code, out, _ = schema("diff", "department")
    assert exit_code == 1
    assert "version: 2 -> 1" in out and "department_name.nullable: True -> False" in out


@pytest.mark.usefixtures("coloured")
def test_a_proposal_is_printed_and_written_only_on_demand(schema: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(contracts.CATALOG, tmp_path / "catalog")
    monkeypatch.setattr(contracts, "CATALOG", tmp_path / "catalog")
    path = tmp_path / "catalog" / "source" / "design.json"
    before = path.read_text("utf-8")

    exit_code, out, err = schema("propose", "design")
    assert (exit_code, path.read_text("utf-8")) == (0, before)
    assert json.loads(out)["version"] == 2 and json.loads(out)["columns"][-1]["name"] == "colour"
    assert err == "schema: design.colour: added as string from text; write its description\n"

    assert schema("propose", "design", "--write")[0] == 0
    assert path.read_text("utf-8") == out


def test_a_source_that_agrees_gives_nothing_to_propose(schema: Run) -> None:
    exit_code, out, err = schema("propose", "currency")
    assert (exit_code, out) == (0, "") and "nothing to propose" in err


@pytest.mark.parametrize(
    ("arguments", "known"), [(("show", "desing"), "'dim_date'"), (("propose", "dim_design"), "'department', 'design'")]
)
def test_a_table_that_is_none_names_those_that_there_are(schema: Run, arguments: tuple[str, str], known: str) -> None:
    exit_code, out, err = schema(*arguments)
    assert (exit_code, out) == (2, "")
    assert f"'{arguments[1]}' is not one of " in err and known in err


@pytest.mark.usefixtures("second_version", "coloured")
def test_every_answer_can_be_had_as_json(schema: Run) -> None:
    def answer(*words: str) -> Any:
        return json.loads(schema(*words, "--json")[1])

    listed = {table["table"]: table for table in answer("list")["tables"]}
    assert (listed["department"]["registered"], listed["department"]["in_files"]) == (2, 1)
    assert (listed["design"]["differences"], listed["fact_payment"]["differences"]) == (1, None)
    shown = answer("show", "department", "--version", "1")
    assert (shown["version"], shown["contract"]["table"]) == (1, "department")
    assert answer("diff", "design")["at_source"] != [] and answer("diff", "dim_design")["at_source"] is None
    assert [version["version"] for version in answer("history", "department")][:2] == [2, 1]
