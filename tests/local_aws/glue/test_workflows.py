"""Deployed triggers fire: chains, conditions, events, refusals, and the graph that the API shows of them."""

import json
from typing import Any

import pytest

from tests.support.local_aws.machine import LocalAws, wait_until
from tests.support.local_aws.templates import job, jobs_of, trigger, when, workflow

SLEEP = "import time; time.sleep(600)"
SAY_ARGUMENTS = "import sys; print(' '.join(sys.argv[1:]))"


@pytest.fixture(scope="module")
def scripts(aws: LocalAws) -> dict[str, str]:
    sources = {"say": SAY_ARGUMENTS, "fail": "raise SystemExit('it went wrong')", "sleep": SLEEP}
    return {name: aws.upload(f"flow-{name}", source) for name, source in sources.items()}


def test_a_chain_runs_to_its_end_and_the_api_shows_its_graph(aws: LocalAws, scripts: dict[str, str]) -> None:
    resources = {
        "Flow": workflow("chain", Description="three steps", DefaultRunProperties={"colour": "red", "size": "1"}, Tags={"team": "data"}),
        "First": job(scripts["say"]),
        "Second": job(scripts["say"], DefaultArguments={"--step": "2"}),
        "Third": job(scripts["say"]),
        "Begin": trigger("ON_DEMAND", "First"),
        "Then": trigger("CONDITIONAL", "Second", Predicate=when({"First": "SUCCEEDED"})),
        "AtLast": trigger("CONDITIONAL", "Third", Predicate=when({"First": "SUCCEEDED", "Second": "SUCCEEDED"})),
    }
    aws.stack("chain", {"Resources": resources})
    run_id = aws.glue.start_workflow_run(Name="chain", RunProperties={"size": "2"})["RunId"]
    run = aws.workflow_ended("chain", run_id)
    assert run["Status"] == "COMPLETED"
    assert jobs_of(run) == {"First": ["SUCCEEDED"], "Second": ["SUCCEEDED"], "Third": ["SUCCEEDED"]}
    assert run["Statistics"] | {"TotalActions": 3, "SucceededActions": 3, "FailedActions": 0, "RunningActions": 0} == run["Statistics"]

    second = next(n for n in run["Graph"]["Nodes"] if "Second" in n["Name"])["JobDetails"]["JobRuns"][0]
    said = aws.output(second["Id"])[0]
    assert said == f"--step 2 --JOB_NAME {second['JobName']} --JOB_RUN_ID {second['Id']} --WORKFLOW_NAME chain --WORKFLOW_RUN_ID {run_id}"
    assert "Then" in second["TriggerName"]

    shown = aws.glue.get_workflow_run(Name="chain", RunId=run_id, IncludeGraph=True)["Run"]["Graph"]
    names = {node["UniqueId"]: node["Name"].split("-")[1] for node in shown["Nodes"]}
    edges = {(names[edge["SourceId"]], names[edge["DestinationId"]]) for edge in shown["Edges"]}
    assert edges == {
        ("Begin", "First"), ("First", "Then"), ("Then", "Second"), ("First", "AtLast"), ("Second", "AtLast"), ("AtLast", "Third"),
    }  # fmt: skip
    assert aws.glue.get_workflow(Name="chain", IncludeGraph=True)["Workflow"]["LastRun"]["WorkflowRunId"] == run_id

    assert aws.glue.get_workflow_run_properties(Name="chain", RunId=run_id)["RunProperties"] == {"colour": "red", "size": "2"}
    aws.glue.put_workflow_run_properties(Name="chain", RunId=run_id, RunProperties={"seen": "yes"})
    assert aws.glue.get_workflow_runs(Name="chain")["Runs"][0]["WorkflowRunProperties"]["seen"] == "yes"


def test_a_failure_stops_the_chain_and_meets_the_conditions_that_wait_for_it(aws: LocalAws, scripts: dict[str, str]) -> None:
    resources = {
        "Flow": workflow("broken"),
        "First": job(scripts["fail"]),
        "Second": job(scripts["say"]),
        "Repair": job(scripts["say"]),
        "Begin": trigger("ON_DEMAND", "First"),
        "Then": trigger("CONDITIONAL", "Second", Predicate=when({"First": "SUCCEEDED"})),
        "Else": trigger("CONDITIONAL", "Repair", Predicate=when({"First": "FAILED", "Second": "FAILED"}, logical="ANY")),
    }
    aws.stack("broken", {"Resources": resources})
    run = aws.workflow_ended("broken", aws.glue.start_workflow_run(Name="broken")["RunId"])
    assert (run["Status"], jobs_of(run)) == ("COMPLETED", {"First": ["FAILED"], "Second": [], "Repair": ["SUCCEEDED"]})
    assert run["Statistics"]["FailedActions"] == 1
    first = next(n for n in run["Graph"]["Nodes"] if "First" in n["Name"])["JobDetails"]["JobRuns"][0]
    assert first["ErrorMessage"] == "it went wrong"


def test_a_deactivated_trigger_does_not_fire(aws: LocalAws, scripts: dict[str, str]) -> None:
    resources = {
        "Flow": workflow("paused"),
        "First": job(scripts["say"]),
        "Second": job(scripts["say"]),
        "Begin": trigger("ON_DEMAND", "First"),
        "Then": trigger("CONDITIONAL", "Second", Predicate=when({"First": "SUCCEEDED"})),
    }
    aws.stack("paused", {"Resources": resources})
    then = next(t for t in aws.glue.get_triggers()["Triggers"] if t["Name"].startswith("paused-Then"))
    assert then["State"] == "ACTIVATED"
    aws.glue.stop_trigger(Name=then["Name"])
    assert aws.glue.get_trigger(Name=then["Name"])["Trigger"]["State"] == "DEACTIVATED"
    run = aws.workflow_ended("paused", aws.glue.start_workflow_run(Name="paused")["RunId"])
    assert jobs_of(run) == {"First": ["SUCCEEDED"], "Second": []}
    aws.glue.start_trigger(Name=then["Name"])
    run = aws.workflow_ended("paused", aws.glue.start_workflow_run(Name="paused")["RunId"])
    assert jobs_of(run) == {"First": ["SUCCEEDED"], "Second": ["SUCCEEDED"]}


def event_flow(name: str, script: str, **batch: Any) -> dict[str, Any]:
    arn = {"Fn::Sub": "arn:${AWS::Partition}:glue:${AWS::Region}:${AWS::AccountId}:workflow/${Flow}"}
    target = {"Id": "flow", "Arn": arn, "RoleArn": {"Fn::GetAtt": ["Notifier", "Arn"]}}
    trust = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
    statement = {"Effect": "Allow", "Action": "glue:notifyEvent", "Resource": arn}
    policy = {"PolicyName": "notify", "PolicyDocument": {"Version": "2012-10-17", "Statement": [statement]}}
    pattern = {"source": [name], "detail": {"waiting": [True]}}
    return {
        "Resources": {
            "Flow": workflow(name, MaxConcurrentRuns=1),
            "Notifier": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": trust, "Policies": [policy]}},
            "Work": job(script),
            "OnEvent": trigger("EVENT", "Work", **batch),
            "Rule": {"Type": "AWS::Events::Rule", "Properties": {"EventPattern": pattern, "Targets": [target]}},
        }
    }


def announce(aws: LocalAws, source: str, detail: dict[str, Any]) -> str:
    entry = {"Source": source, "DetailType": "Batch Waiting", "Detail": json.dumps(detail)}
    return str(aws.client("events").put_events(Entries=[entry])["Entries"][0]["EventId"])


def test_a_matching_event_starts_the_workflow_and_its_limit_holds(aws: LocalAws, scripts: dict[str, str]) -> None:
    aws.stack("on-event", event_flow("on-event", scripts["sleep"], EventBatchingCondition={"BatchSize": 1}))
    announce(aws, "on-event", {"waiting": False})
    announce(aws, "another", {"waiting": True})
    assert aws.glue.get_workflow_runs(Name="on-event")["Runs"] == []
    event_id = announce(aws, "on-event", {"waiting": True})
    (run,) = aws.glue.get_workflow_runs(Name="on-event")["Runs"]
    assert json.loads(run["WorkflowRunProperties"]["aws:eventIds"]) == [event_id]

    announce(aws, "on-event", {"waiting": True})
    refused = next(other for other in aws.glue.get_workflow_runs(Name="on-event")["Runs"] if other["WorkflowRunId"] != run["WorkflowRunId"])
    assert (refused["Status"], refused["ErrorMessage"]) == ("ERROR", "Concurrent runs exceeded for workflow: `on-event`.")
    with pytest.raises(aws.glue.exceptions.ConcurrentRunsExceededException):
        aws.glue.start_workflow_run(Name="on-event")

    aws.glue.stop_workflow_run(Name="on-event", RunId=run["WorkflowRunId"])
    stopped = aws.workflow_ended("on-event", run["WorkflowRunId"])
    assert (stopped["Status"], jobs_of(stopped)) == ("STOPPED", {"Work": ["STOPPED"]})


def test_an_event_trigger_waits_for_its_batch(aws: LocalAws, scripts: dict[str, str]) -> None:
    aws.stack("in-batches", event_flow("in-batches", scripts["say"], EventBatchingCondition={"BatchSize": 3, "BatchWindow": 900}))
    ids = [announce(aws, "in-batches", {"waiting": True}) for _ in range(2)]
    assert aws.glue.get_workflow_runs(Name="in-batches")["Runs"] == []
    ids.append(announce(aws, "in-batches", {"waiting": True}))
    (run,) = aws.glue.get_workflow_runs(Name="in-batches")["Runs"]
    assert json.loads(run["WorkflowRunProperties"]["aws:eventIds"]) == ids


def test_a_batch_that_stays_short_starts_when_its_window_has_passed(aws: LocalAws, scripts: dict[str, str]) -> None:
    aws.stack("short-batch", event_flow("short-batch", scripts["say"], EventBatchingCondition={"BatchSize": 3, "BatchWindow": 1}))
    event_id = announce(aws, "short-batch", {"waiting": True})
    (run,) = wait_until("the window's end", lambda: aws.glue.get_workflow_runs(Name="short-batch")["Runs"])
    assert json.loads(run["WorkflowRunProperties"]["aws:eventIds"]) == [event_id]


def test_a_job_that_is_running_elsewhere_shows_as_an_error_in_the_workflow(aws: LocalAws, scripts: dict[str, str]) -> None:
    resources = {"Flow": workflow("busy"), "Only": job(scripts["sleep"]), "Begin": trigger("ON_DEMAND", "Only")}
    aws.stack("busy", {"Resources": resources})
    (name,) = (j["Name"] for j in aws.glue.get_jobs()["Jobs"] if j["Name"].startswith("busy-Only"))
    elsewhere = aws.glue.start_job_run(JobName=name)["JobRunId"]
    run = aws.workflow_ended("busy", aws.glue.start_workflow_run(Name="busy")["RunId"])
    assert (jobs_of(run), run["Statistics"]["ErroredActions"]) == ({"Only": ["ERROR"]}, 1)
    aws.glue.batch_stop_job_run(JobName=name, JobRunIds=[elsewhere])


def test_a_stack_update_changes_a_workflow_in_place_and_a_delete_removes_it(aws: LocalAws, scripts: dict[str, str]) -> None:
    resources = {
        "Flow": workflow("changing", Description="before", MaxConcurrentRuns=1),
        "First": job(scripts["say"], ExecutionProperty={"MaxConcurrentRuns": 3}),
        "Tick": trigger("SCHEDULED", "First", Schedule="cron(0/5 * * * ? *)"),
    }
    aws.stack("changing", {"Resources": resources, "Outputs": {"Name": {"Value": {"Ref": "Flow"}}}})
    aws.glue.start_workflow_run(Name="changing")
    resources["Flow"] = workflow("changing", Description="after")
    resources["Tick"]["Properties"]["Schedule"] = "cron(15 8 ? * MON-FRI *)"
    aws.stack("changing", {"Resources": resources, "Outputs": {"Name": {"Value": {"Ref": "Flow"}}}})
    changed = aws.glue.get_workflow(Name="changing")["Workflow"]
    assert (changed["Description"], changed.get("MaxConcurrentRuns"), "LastRun" in changed) == ("after", None, True)
    (tick,) = (t for t in aws.glue.get_triggers()["Triggers"] if t.get("WorkflowName") == "changing")
    assert (tick["Schedule"], tick["State"]) == ("cron(15 8 ? * MON-FRI *)", "ACTIVATED")
    (defined,) = (j for j in aws.glue.get_jobs()["Jobs"] if j["Name"].startswith("changing-First"))
    assert defined["ExecutionProperty"] == {"MaxConcurrentRuns": 3}
    assert aws.cloudformation.describe_stacks(StackName="changing")["Stacks"][0]["Outputs"][0]["OutputValue"] == "changing"

    aws.cloudformation.delete_stack(StackName="changing")
    wait_until("deletion", lambda: "changing" not in aws.glue.list_workflows()["Workflows"])
    assert not [t for t in aws.glue.get_triggers()["Triggers"] if t.get("WorkflowName") == "changing"]


def test_an_event_trigger_stays_created_and_can_be_neither_started_nor_stopped(aws: LocalAws, scripts: dict[str, str]) -> None:
    resources = {"Flow": workflow("eventful"), "Work": job(scripts["say"]), "OnEvent": trigger("EVENT", "Work")}
    aws.stack("eventful", {"Resources": resources})
    (on_event,) = (t for t in aws.glue.get_triggers()["Triggers"] if t.get("WorkflowName") == "eventful")
    assert on_event["State"] == "CREATED"
    with pytest.raises(aws.glue.exceptions.InvalidInputException, match="Trigger Type EVENT cannot be started"):
        aws.glue.start_trigger(Name=on_event["Name"])
    with pytest.raises(aws.glue.exceptions.InvalidInputException, match="The operation is not allowed when trigger is in state: CREATED"):
        aws.glue.stop_trigger(Name=on_event["Name"])


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        ({"Type": "SCHEDULED", "Schedule": "rate(5 minutes)"}, "is not of the form cron"),
        ({"Type": "ON_DEMAND", "StartOnCreation": True}, "StartOnCreation"),
        ({"Type": "EVENT", "StartOnCreation": True}, "StartOnCreation"),
        ({"Type": "CONDITIONAL"}, "Conditions is required"),
        (
            {"Type": "CONDITIONAL", "Predicate": {"Conditions": [{"JobName": "a", "State": "SUCCEEDED"}], "Logical": "AND"}},
            "LogicalOperator",
        ),
        ({"Type": "CONDITIONAL", "Predicate": {"Conditions": [{"JobName": "a", "State": "SUCCEEDED"}]}}, "Logical must be"),
        ({"Type": "ON_DEMAND"}, "already has the start trigger"),
    ],
)
def test_a_trigger_that_the_service_would_refuse_is_refused(aws: LocalAws, properties: dict[str, Any], reason: str) -> None:
    if "strict" not in aws.glue.list_workflows()["Workflows"]:
        aws.glue.create_workflow(Name="strict")
        aws.glue.create_trigger(Name="strict-start", Type="ON_DEMAND", WorkflowName="strict", Actions=[{"JobName": "a"}])
    with pytest.raises(aws.glue.exceptions.InvalidInputException, match=reason):
        aws.glue.create_trigger(Name="refused", WorkflowName="strict", Actions=[{"JobName": "a"}], **properties)


def test_runs_of_a_workflow_come_in_any_order_and_five_a_page(aws: LocalAws, scripts: dict[str, str]) -> None:
    resources = {"Flow": workflow("often"), "Work": job(scripts["say"], ExecutionProperty={"MaxConcurrentRuns": 9})}
    aws.stack("often", {"Resources": {**resources, "Begin": trigger("ON_DEMAND", "Work")}})
    started = [aws.glue.start_workflow_run(Name="often")["RunId"] for _ in range(7)]
    pages = list(aws.glue.get_paginator("get_workflow_runs").paginate(Name="often", PaginationConfig={"PageSize": 1000}))
    assert [len(page["Runs"]) for page in pages] == [5, 2]
    found = [run["WorkflowRunId"] for page in pages for run in page["Runs"]]
    assert (sorted(found), found != started[::-1]) == (sorted(started), True)
    assert len(aws.glue.get_workflow_runs(Name="often", MaxResults=2)["Runs"]) == 2

    (name,) = {node["Name"] for node in aws.workflow_ended("often", started[0])["Graph"]["Nodes"] if node["Type"] == "JOB"}
    runs = aws.glue.get_paginator("get_job_runs").paginate(JobName=name).build_full_result()["JobRuns"]
    assert len(runs) == 7
    assert [run["StartedOn"] for run in runs] == sorted((run["StartedOn"] for run in runs), reverse=True)
    assert len(aws.glue.get_job_runs(JobName=name)["JobRuns"]) == 3
