"""A run that went wrong half-way is resumed: the chosen jobs run again, and all that waits for them; the others keep their state."""

from typing import Any

import pytest

from tests.support.local_aws.machine import ROLE, LocalAws
from tests.support.local_aws.templates import job, jobs_of, trigger, when, workflow

SLEEP = "import time; time.sleep(600)"
SAY_ARGUMENTS = "import sys; print(' '.join(sys.argv[1:]))"
# Fails until its object is there: what a person mends between a run and its resumption.
NEEDS_MENDING = """
import os, sys, boto3
if not boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"]).list_objects_v2(Bucket="job-scripts", Prefix="mended")["KeyCount"]:
    raise SystemExit("not mended")
print(" ".join(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def scripts(aws: LocalAws) -> dict[str, str]:
    sources = {"say": SAY_ARGUMENTS, "mend": NEEDS_MENDING, "sleep": SLEEP}
    return {name: aws.upload(f"resume-{name}", source) for name, source in sources.items()}


@pytest.fixture(scope="module")
def broken(aws: LocalAws, scripts: dict[str, str]) -> dict[str, Any]:
    """A run of First, then Second (which failed) and Beside; nothing has come of Last, which waits for both. What failed is mended."""
    resources = {
        "Flow": workflow("resumed", MaxConcurrentRuns=1),
        "First": job(scripts["say"]),
        "Second": job(scripts["mend"]),
        "Beside": job(scripts["say"]),
        "Last": job(scripts["say"]),
        "Begin": trigger("ON_DEMAND", "First"),
        "Then": trigger("CONDITIONAL", "Second", "Beside", Predicate=when({"First": "SUCCEEDED"})),
        "AtLast": trigger("CONDITIONAL", "Last", Predicate=when({"Second": "SUCCEEDED", "Beside": "SUCCEEDED"})),
    }
    resources["Then"]["Properties"]["Actions"][0]["Arguments"] = {"--step": "2"}
    aws.stack("resumed", {"Resources": resources})
    run = aws.workflow_ended("resumed", aws.glue.start_workflow_run(Name="resumed", RunProperties={"full": "true"})["RunId"])
    assert jobs_of(run) == {"First": ["SUCCEEDED"], "Second": ["FAILED"], "Beside": ["SUCCEEDED"], "Last": []}
    aws.s3.put_object(Bucket="job-scripts", Key="mended", Body=b"")
    return run


def node(run: dict[str, Any], name: str, kind: str = "JOB") -> dict[str, Any]:
    found: dict[str, Any] = next(node for node in run["Graph"]["Nodes"] if node["Type"] == kind and f"-{name}-" in node["Name"])
    return found


def resume(aws: LocalAws, run: dict[str, Any], *nodes: str) -> dict[str, Any]:
    answer: dict[str, Any] = aws.glue.resume_workflow_run(Name="resumed", RunId=run["WorkflowRunId"], NodeIds=list(nodes))
    return answer


def test_a_failed_job_runs_again_in_a_new_run_and_what_waits_for_it_follows(aws: LocalAws, broken: dict[str, Any]) -> None:
    failed = node(broken, "Second")["UniqueId"]
    answer = resume(aws, broken, failed)
    assert answer["NodeIds"] == [failed]
    run = aws.workflow_ended("resumed", answer["RunId"])
    assert (run["Status"], run["PreviousRunId"]) == ("COMPLETED", broken["WorkflowRunId"])
    assert run["WorkflowRunId"] != broken["WorkflowRunId"]
    assert jobs_of(run) == {"First": ["SUCCEEDED"], "Second": ["SUCCEEDED"], "Beside": ["SUCCEEDED"], "Last": ["SUCCEEDED"]}
    for untouched in ("First", "Beside"):
        assert node(run, untouched)["JobDetails"] == node(broken, untouched)["JobDetails"]
    (second,) = node(run, "Second")["JobDetails"]["JobRuns"]
    said = aws.output(second["Id"])[0]
    assert said.startswith("--step 2 ") and said.endswith(f"--WORKFLOW_RUN_ID {answer['RunId']}")
    properties = aws.glue.get_workflow_run_properties(Name="resumed", RunId=answer["RunId"])["RunProperties"]
    assert properties == {"full": "true"}


def test_all_that_is_downstream_from_a_chosen_job_runs_again_once(aws: LocalAws, broken: dict[str, Any]) -> None:
    first, second = node(broken, "First"), node(broken, "Second")
    answer = resume(aws, broken, second["UniqueId"], first["UniqueId"])
    assert answer["NodeIds"] == [first["UniqueId"]], "the other one's turn comes after it"
    run = aws.workflow_ended("resumed", answer["RunId"])
    assert set(map(tuple, jobs_of(run).values())) == {("SUCCEEDED",)}
    assert node(run, "Beside")["JobDetails"]["JobRuns"][0]["Id"] != node(broken, "Beside")["JobDetails"]["JobRuns"][0]["Id"]


@pytest.mark.parametrize(("kind", "name", "reason"), [("JOB", "Last", "has no run attempt"), ("TRIGGER", "Then", "is no job of")])
def test_a_node_that_the_run_has_not_tried_is_refused(aws: LocalAws, broken: dict[str, Any], kind: str, name: str, reason: str) -> None:
    with pytest.raises(aws.glue.exceptions.InvalidInputException, match=reason):
        resume(aws, broken, node(broken, name, kind)["UniqueId"])


def test_an_unknown_workflow_or_run_is_refused(aws: LocalAws, broken: dict[str, Any]) -> None:
    for names in ({"Name": "nowhere", "RunId": broken["WorkflowRunId"]}, {"Name": "resumed", "RunId": "wr_0"}):
        with pytest.raises(aws.glue.exceptions.EntityNotFoundException, match="not found"):
            aws.glue.resume_workflow_run(**names, NodeIds=[node(broken, "Second")["UniqueId"]])


def test_a_run_is_resumed_when_it_has_ended_and_no_other_is_in_progress(
    aws: LocalAws, broken: dict[str, Any], scripts: dict[str, str]
) -> None:
    second = node(broken, "Second")
    command = {"Name": "pythonshell", "PythonVersion": "3.9", "ScriptLocation": scripts["sleep"]}
    aws.glue.update_job(JobName=node(broken, "First")["Name"], JobUpdate={"Role": ROLE, "Command": command})
    running = aws.glue.start_workflow_run(Name="resumed")["RunId"]
    try:
        with pytest.raises(aws.glue.exceptions.IllegalWorkflowStateException, match="is RUNNING"):
            aws.glue.resume_workflow_run(Name="resumed", RunId=running, NodeIds=[second["UniqueId"]])
        with pytest.raises(aws.glue.exceptions.ConcurrentRunsExceededException):
            resume(aws, broken, second["UniqueId"])
    finally:
        aws.glue.stop_workflow_run(Name="resumed", RunId=running)
        aws.workflow_ended("resumed", running)
