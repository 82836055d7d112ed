"""What runs on GitHub: actions that cannot change under us, no more permissions than needed, no keys of AWS, one deploy at a time."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.cloudformation import resources, statements

FOLDER = Path(__file__).parents[2] / ".github" / "workflows"
NAMES = sorted(path.name for path in FOLDER.glob("*"))


def text(name: str) -> str:
    return (FOLDER / name).read_text("utf-8")


def workflow(name: str) -> dict[Any, Any]:
    body: dict[Any, Any] = yaml.safe_load(text(name))
    return body


def role() -> dict[str, Any]:
    (found,) = resources("ci", "AWS::IAM::Role").values()
    return found


def test_there_is_a_workflow_that_tests_and_one_that_deploys() -> None:
    assert NAMES == ["ci.yml", "deploy.yml"]


@pytest.mark.parametrize("name", NAMES)
def test_every_action_is_pinned_to_a_commit_with_its_version_beside_it(name: str) -> None:
    used = re.findall(r"uses: (.+)", text(name))
    assert used
    for action in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


@pytest.mark.parametrize("name", NAMES)
def test_every_job_ends_and_a_new_run_of_the_same_waits_or_replaces(name: str) -> None:
    assert workflow(name)["concurrency"]["group"]
    assert all(job["timeout-minutes"] <= 90 for job in workflow(name)["jobs"].values())


@pytest.mark.parametrize("name", NAMES)
def test_no_workflow_takes_a_secret_of_the_repository_or_leaves_its_token_behind(name: str) -> None:
    assert "secrets." not in text(name)
    assert not re.search(r"aws-(access-key-id|secret-access-key|session-token)", text(name))
    checkouts = [step for job in workflow(name)["jobs"].values() for step in job["steps"] if "checkout" in step.get("uses", "")]
    assert checkouts and not [step for step in checkouts if step["with"]["persist-credentials"] is not False]


def test_tests_may_read_and_nothing_else() -> None:
    assert workflow("ci.yml")["permissions"] == {"contents": "read"}
    assert not [job for job in workflow("ci.yml")["jobs"].values() if "permissions" in job]


def test_only_the_deploy_may_ask_for_an_identity() -> None:
    assert workflow("deploy.yml")["permissions"] == {}
    assert [job["permissions"] for job in workflow("deploy.yml")["jobs"].values()] == [{"contents": "read", "id-token": "write"}]


def test_tests_run_on_every_pull_request_and_on_main_with_both_pythons() -> None:
    body = workflow("ci.yml")
    assert body[True] == {"pull_request": None, "push": {"branches": ["main"]}}  # YAML reads `on` as true
    (job,) = body["jobs"].values()
    assert [step["with"]["python-version"].split() for step in job["steps"] if "setup-python" in step.get("uses", "")] == [["3.9", "3.11"]]
    assert job["steps"][-1] == {"run": "scripts/test.sh"}


def test_a_deploy_follows_tests_that_passed_for_a_push_to_main_and_waits_for_the_one_before_it() -> None:
    body = workflow("deploy.yml")
    assert body[True]["workflow_run"] == {"workflows": ["ci"], "types": ["completed"], "branches": ["main"]}
    assert body["concurrency"] == {"group": "deploy", "cancel-in-progress": False}
    (job,) = body["jobs"].values()
    assert "workflow_run.conclusion == 'success'" in job["if"] and "workflow_run.event == 'push'" in job["if"]
    assert job["steps"][0]["with"]["ref"] == "${{ github.event.workflow_run.head_sha }}"


def test_the_deploy_role_is_lent_to_the_main_branch_of_the_repository_alone() -> None:
    (statement,) = role()["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Action"] == "sts:AssumeRoleWithWebIdentity"
    assert statement["Condition"] == {
        "StringEquals": {
            "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
            "token.actions.githubusercontent.com:sub": {"Fn::Sub": "repo:${Repository}:ref:refs/heads/main"},
        }
    }


def test_the_deploy_role_reads_and_deletes_no_data_and_never_changes_itself() -> None:
    allowed = [item for item in statements(role()) if item["Effect"] == "Allow"]
    on_objects = [item for item in allowed if "s3:GetObject" in item["Action"]]
    assert ["${Project}-artifacts-" in str(item["Resource"]) for item in on_objects] == [True]
    assert not [action for item in allowed for action in item["Action"] if action.startswith("s3:Delete")]
    denied = {item["Sid"]: str(item["Resource"]) for item in statements(role()) if item["Effect"] == "Deny"}
    assert ":stack/${Project}-ci/*" in denied["NotItsOwnStack"]
    assert ":role/${Project}-ci-${AWS::Region}" in denied["NotItself"]


def test_what_the_deploy_role_may_do_is_limited_to_names_of_the_project_as_far_as_aws_allows() -> None:
    allowed = [item for item in statements(role()) if item["Effect"] == "Allow"]
    elsewhere = [item["Sid"] for item in allowed if not re.search("Project|Prefix", str(item["Resource"]))]
    assert elsewhere == ["DefaultDatabase", "UseKey", "WithoutANameOfTheProject", "NewKeys", "TagOfAKey", "Keys"]
