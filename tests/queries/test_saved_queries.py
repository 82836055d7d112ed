"""The questions that are saved in Athena: they are answered from the lake, and in Athena's own dialect."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import sqlglot
from sqlglot import exp
from totesys.contracts import load_contracts

from local_aws.environment import aws_environment
from operations.athena import saved_query
from operations.deployment.views import current_views
from tests.support.cloudformation import resources
from tests.support.stack import PROJECT, DeployedStack

SCRIPT = Path(__file__).parents[2] / "scripts" / "totesys"
SAVED: dict[str, dict[str, Any]] = {query["Name"]: query for query in resources("catalog", "AWS::Athena::NamedQuery").values()}
VIEWS = current_views(load_contracts(), "star", "mirror")


def asked(lake: DeployedStack, *arguments: str) -> subprocess.CompletedProcess[str]:
    """scripts/totesys query with these arguments, on the stack."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TOTESYS_"))}
    environment = {**inherited, **aws_environment(lake.aws.endpoint), "TOTESYS_PROJECT": PROJECT}
    return subprocess.run([str(SCRIPT), "query", *arguments], env=environment, capture_output=True, text=True, check=False)


ANSWERS = {
    "sales_by_design_and_month": [
        "2026-12-01 2 Wooden GBP 1 1 4.00",
        "2026-11-01 1 Wooden EUR 1 3 0.30",
        "2026-11-01 1 Wooden GBP 1 12 30.00",
    ],
    "sales_by_staff_and_department": [
        "Purchasing 2 Kim Lee EUR 1 3 0.30",
        "Purchasing 2 Kim Lee GBP 1 12 30.00",
        "Sales 1 Pat O'Keefe GBP 1 1 4.00",
    ],
    "payments_due_by_week": [
        "2026-11-23 SALES_RECEIPT GBP 1 25.00",
        "2026-11-30 PURCHASE_PAYMENT GBP 1 10.00",
        "2026-11-30 SALES_RECEIPT GBP 2 70.23",
    ],
    "purchase_spend_by_counterparty": ["2 Leannon EUR 1 10.00", "1 Frami, Yundt and Macejkovic GBP 2 1085.02"],
    "sales_order_history 1": [
        "1 2026-11-02 08:00:00.000 Pat O'Keefe Wooden Frami, Yundt and Macejkovic 10 2.50 GBP 2026-11-02 2026-11-02 1 false",
        "12 2026-12-01 09:30:00.123 Kim Lee Wooden Frami, Yundt and Macejkovic 12 2.50 GBP 2026-11-02 2026-11-02 1 false",
    ],
    "freshness": [
        "fact_payment 7 9 2026-12-01 2026-12-01 09:30:00.123",
        "fact_purchase_orders 3 1 initial 2026-11-02 08:00:00.000",
        "fact_sales_order 5 12 2026-12-01 2026-12-01 09:30:00.123",
    ],
}


@pytest.mark.parametrize("question", ANSWERS)
def test_a_saved_query_answers_from_the_lake(lake: DeployedStack, question: str) -> None:
    shown = asked(lake, "--saved", *question.split())
    assert (shown.returncode, shown.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in shown.stdout.splitlines() if line.strip()]
    assert lines[2:-1] == ANSWERS[question]


def test_every_saved_query_is_asked_here() -> None:
    assert {question.split()[0] for question in ANSWERS} == SAVED.keys()


def test_an_unknown_name_lists_the_saved_queries_and_what_they_answer(lake: DeployedStack) -> None:
    shown = asked(lake, "--saved", "profit")
    assert shown.returncode == 2
    first, *listed = shown.stderr.splitlines()
    assert first == "query: could not start: no query is saved as profit; saved are"
    assert [" ".join(line.split()) for line in listed] == [f"{name} {SAVED[name]['Description']}" for name in sorted(SAVED)]


@pytest.mark.parametrize(("question", "expected", "found"), [("sales_order_history", 1, 0), ("freshness 7", 0, 1)])
def test_another_number_of_values_than_the_query_has_question_marks_is_refused(
    lake: DeployedStack, question: str, expected: int, found: int
) -> None:
    shown = asked(lake, "--saved", *question.split())
    assert (shown.returncode, shown.stdout) == (1, "")
    assert f"expected {expected} but found {found}" in shown.stderr


def test_ones_own_query_takes_values_too_and_a_question_mark_in_a_text_is_none(lake: DeployedStack) -> None:
    shown = asked(lake, "SELECT '?' AS mark, currency_id FROM dim_currency WHERE currency_code = ?", "'EUR'")
    assert [line.split() for line in shown.stdout.splitlines() if line.strip()][2:] == [["?", "2"], ["1", "row"]]


def test_nothing_to_ask_is_not_understood(lake: DeployedStack) -> None:
    shown = asked(lake, "--database", "mirror")
    assert shown.returncode == 2
    assert "neither SQL nor --saved is given" in shown.stderr


@pytest.mark.parametrize("name", SAVED)
def test_what_is_saved_is_what_the_template_says(stack: DeployedStack, name: str) -> None:
    deployment = stack.deployment
    saved = saved_query(stack.aws.client("athena"), deployment.workgroup, name)
    assert saved == (SAVED[name]["QueryString"], deployment.star_database)


@pytest.mark.parametrize("sql", [*(query["QueryString"] for query in SAVED.values()), *VIEWS.values()], ids=[*SAVED, *VIEWS])
def test_the_queries_and_the_views_are_in_athenas_dialect(sql: str) -> None:
    (statement,) = sqlglot.parse(sql, read="athena")
    assert statement is not None
    written = statement.sql(dialect="athena")
    # The parser reads other dialects' functions too, and writes them as Athena's; what is no dialect's function stays anonymous.
    assert {name.upper() for name in re.findall(r"(\w+)\(", sql)} <= set(re.findall(r"(\w+)\(", written))
    assert not [function.name for function in statement.find_all(exp.Anonymous)]


@pytest.mark.parametrize("name", SAVED)
def test_a_query_of_the_current_state_reads_views_and_one_of_history_reads_facts(name: str) -> None:
    tables = {table.name for table in sqlglot.parse_one(SAVED[name]["QueryString"], read="athena").find_all(exp.Table)}
    read = {table for table in tables if not table.startswith("dim_")}
    facts = {"sales_order_history": {"fact_sales_order"}, "freshness": {"fact_payment", "fact_purchase_orders", "fact_sales_order"}}
    assert read == facts[name] if name in facts else len(read) == 1 and read <= VIEWS.keys()
