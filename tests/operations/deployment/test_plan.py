"""A plan says what a deploy would do, and leaves everything as it was."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from totesys.contracts import load_contracts

from operations.deployment.artifacts import Artifacts
from operations.deployment.change_sets import ChangeSet, make_change_set
from operations.deployment.parameters import deployed_version
from operations.deployment.plan import stack_changes
from operations.deployment.stacks import STACKS, stack_outputs
from operations.deployment.templates import Template
from tests.support.stack import PROJECT, DeployedStack, registered_as, versions


def rows(printed: str) -> list[str]:
    """The lines, with their cells parted by one blank."""
    return [" ".join(line.split()) for line in printed.splitlines()]


def test_a_plan_shows_what_a_config_file_changes_and_changes_nothing(stack: DeployedStack, tmp_path: Path) -> None:
    before = versions(stack)
    config = tmp_path / "totesys.toml"
    config.write_text("workers = 4\nnoncurrent_days = 9\n")
    done = stack.deploy("--plan", "--config", str(config))
    assert done.returncode == 0, done.stderr
    shown = rows(done.stdout)
    assert shown[0] == f"plan for {PROJECT}: nothing is changed"
    assert f"stack {PROJECT}-jobs modify LoadJob (AWS::Glue::Job): NumberOfWorkers" in shown
    assert f"stack {PROJECT}-storage modify IngestionBucket (AWS::S3::Bucket): LifecycleConfiguration" in shown
    assert {f"stack {PROJECT}-secrets unchanged", "tables unchanged 33", "views unchanged 3"} <= set(shown)
    assert versions(stack) == before
    for name in ("jobs", "storage"):
        sets = stack.aws.cloudformation.list_change_sets(StackName=f"{PROJECT}-{name}")["Summaries"]
        assert {found["ExecutionStatus"] for found in sets} <= {"EXECUTE_COMPLETE"}, "only those that a deploy executed are kept"


def test_a_plan_of_a_new_deployment_shows_all_that_is_made_and_makes_nothing(stack: DeployedStack) -> None:
    buckets = stack.aws.s3.list_buckets()["Buckets"]
    done = stack.deploy("--plan", TOTESYS_PROJECT="planned")
    assert done.returncode == 0, done.stderr
    shown = rows(done.stdout)
    assert "stack planned-secrets create SourceSecret, WarehouseSecret" in shown
    assert "table planned_star.fact_payment create version 1" in shown
    assert [line for line in shown if line.startswith("code upload scripts/") and line.endswith("/ingest.py")]
    assert stack.aws.s3.list_buckets()["Buckets"] == buckets
    summaries = stack.aws.cloudformation.describe_stacks()["Stacks"]
    assert not [body["StackName"] for body in summaries if body["StackName"].startswith("planned-")]


def test_a_plan_shows_the_step_of_a_contracts_version(stack: DeployedStack) -> None:
    older = {**json.loads(load_contracts().source["design"].body), "version": 0}
    with registered_as(stack, "design", json.dumps(older), contract_version="0"):
        done = stack.deploy("--plan")
    assert done.returncode == 0, done.stderr
    assert "table deploy_test_ingestion.design update version 0 to 1" in rows(done.stdout)


def test_a_plan_of_contracts_that_a_deploy_refuses_says_why(stack: DeployedStack) -> None:
    changed = {**json.loads(load_contracts().source["design"].body), "description": "Other."}
    with registered_as(stack, "design", json.dumps(changed)):
        done = stack.deploy("--plan")
    assert done.returncode == 1
    assert "design: the contract changed and its version is still 1: raise it" in done.stderr


def test_a_stack_that_needs_one_that_is_not_there_yet_is_shown_by_its_template(
    stack: DeployedStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = "No export named later-storage-IngestionBucket found."  # AWS says so; the local one makes the change set all the same

    def refused(*arguments: Any) -> ChangeSet:
        return replace(make_change_set(*arguments), changes=(), refusal=refusal)

    monkeypatch.setattr("operations.deployment.plan.make_change_set", refused)
    shown = stack_changes(stack.session, "later-secrets", Template.read("secrets"), {"Project": "later"})
    assert shown == [("stack later-secrets", "create", "SourceSecret, WarehouseSecret")]


@pytest.fixture
def next_commit(tmp_path: Path) -> str:
    """A PATH with a git that calls the same files by the name of another commit."""
    git = tmp_path / "git"
    git.write_text("#!/bin/sh\necho v9.0.0-1-g0a1b2c3\n")
    git.chmod(0o755)
    return f"{tmp_path}:{os.environ['PATH']}"


def test_another_commit_with_the_same_code_and_templates_changes_nothing(stack: DeployedStack, next_commit: str) -> None:
    before, version = versions(stack), stack_outputs(stack.session, f"{PROJECT}-jobs")["CodeVersion"]
    planned = stack.deploy("--plan", PATH=next_commit)
    assert planned.returncode == 0, planned.stderr
    assert planned.stdout.splitlines()[-1] == "no changes"
    deployed = stack.deploy(PATH=next_commit)
    assert deployed.returncode == 0, deployed.stderr
    assert versions(stack) == before
    assert stack_outputs(stack.session, f"{PROJECT}-jobs")["CodeVersion"] == version


def test_other_code_comes_with_its_own_version(stack: DeployedStack) -> None:
    deployed = stack.aws.cloudformation.describe_stacks(StackName=f"{PROJECT}-jobs")["Stacks"][0]["Parameters"]
    values = {parameter["ParameterKey"]: parameter["ParameterValue"] for parameter in deployed}
    scripts = {job: values[f"{job.capitalize()}Script"] for job in ("ingest", "transform", "load")}
    same = Artifacts(scripts, tuple(values["IngestWheels"].split(",")), tuple(values["SparkWheels"].split(",")), ())
    assert deployed_version(stack.session, f"{PROJECT}-jobs", same) == values["CodeVersion"]
    assert deployed_version(stack.session, f"{PROJECT}-jobs", replace(same, spark_wheels=("s3://b/wheels/0/other.whl",))) is None
    assert deployed_version(stack.session, "elsewhere-jobs", same) is None


def test_no_stack_has_a_tag_since_that_would_be_a_tag_of_all_its_resources(stack: DeployedStack) -> None:
    stacks = [stack.aws.cloudformation.describe_stacks(StackName=f"{PROJECT}-{name}")["Stacks"][0] for name in STACKS]
    assert [tag for body in stacks for tag in body.get("Tags", ())] == []
