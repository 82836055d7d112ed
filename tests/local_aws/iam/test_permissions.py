"""What a role may do, by its policies and by those of what it reaches: a table of cases, each a call that a role makes."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.support.local_aws.machine import SCRIPTS, LocalAws, wait_until

Statement = dict[str, Any]
Caller = Callable[[str], Any]  # gives a client by service

BUCKET, HELD = "arn:aws:s3:::rights", "held/1.txt"
GLUE = "arn:aws:glue:eu-west-2:000000000000"
BUS = "arn:aws:events:eu-west-2:000000000000:event-bus/default"
_numbers = count(1)


WHO_AM_I = """
import os, boto3
sts, glue = (boto3.client(name, endpoint_url=os.environ["AWS_ENDPOINT_URL"]) for name in ("sts", "glue"))
print(sts.get_caller_identity()["Arn"])
glue.get_databases()
"""


@pytest.fixture(scope="module")
def place(aws: LocalAws) -> None:
    """A bucket with an object, and a table."""
    for bucket in ("rights", "strangers"):
        aws.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
        aws.s3.put_object(Bucket=bucket, Key=HELD, Body=b"text")
    aws.glue.create_database(DatabaseInput={"Name": "shop"})
    descriptor = {"Columns": [{"Name": "a", "Type": "int"}], "Location": "s3://rights/sales/"}
    aws.glue.create_table(DatabaseName="shop", TableInput={"Name": "sales", "StorageDescriptor": descriptor})


def allow(action: Any, resource: Any, **condition: Any) -> Statement:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **({"Condition": condition} if condition else {})}


def deny(action: Any, resource: Any, **condition: Any) -> Statement:
    return {**allow(action, resource, **condition), "Effect": "Deny"}


def caller(aws: LocalAws, *statements: Statement, boundary: Statement | None = None) -> Caller:
    """Clients of a role that these statements are given to."""
    name = f"case-{next(_numbers)}"
    arn = aws.role(name, "glue.amazonaws.com", *statements)
    if boundary:
        document = json.dumps({"Version": "2012-10-17", "Statement": [boundary]})
        limit = aws.client("iam").create_policy(PolicyName=name, PolicyDocument=document)["Policy"]["Arn"]
        aws.client("iam").put_role_permissions_boundary(RoleName=name, PermissionsBoundary=limit)
    # The account's root stands for any service here, so it may assume the role of one.
    keys = aws.client("sts").assume_role(RoleArn=arn, RoleSessionName="case")["Credentials"]
    session = boto3.Session(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], region_name="eu-west-2")
    return lambda service: session.client(service, endpoint_url=aws.endpoint)


def read(client: Caller, key: str = HELD, bucket: str = "rights") -> Any:
    return client("s3").get_object(Bucket=bucket, Key=key)


def write(client: Caller) -> Any:
    return client("s3").put_object(Bucket="rights", Key="new.txt", Body=b"")


def look_up(client: Caller) -> Any:
    return client("glue").get_table(DatabaseName="shop", Name="sales")


def put_events(*sources: str) -> Callable[[Caller], Any]:
    entries = [{"Source": source, "DetailType": "a", "Detail": "{}"} for source in sources]
    return lambda client: client("events").put_events(Entries=entries)


def put_metric(namespace: str) -> Callable[[Caller], Any]:
    return lambda client: client("cloudwatch").put_metric_data(Namespace=namespace, MetricData=[{"MetricName": "a", "Value": 1}])


CATALOG, DATABASE, TABLE = f"{GLUE}:catalog", f"{GLUE}:database/shop", f"{GLUE}:table/shop/*"
OBJECTS = f"{BUCKET}/*"
ALLOWED: dict[str, tuple[list[Statement], Callable[[Caller], Any]]] = {
    "an action on a resource": ([allow("s3:GetObject", f"{BUCKET}/{HELD}")], read),
    "a pattern of resources": ([allow("s3:GetObject", f"{BUCKET}/held/?.*")], read),
    "an action in other letters": ([allow("S3:getobject", OBJECTS)], read),
    "all but an action": ([{"Effect": "Allow", "NotAction": "s3:PutObject", "Resource": OBJECTS}], read),
    "all but a resource": ([{"Effect": "Allow", "Action": "s3:GetObject", "NotResource": f"{BUCKET}/other/*"}], read),
    "a table, with its database and catalog": ([allow("glue:GetTable", [CATALOG, DATABASE, TABLE])], look_up),
    "events of one source": ([allow("events:PutEvents", BUS, StringEquals={"events:source": "shop"})], put_events("shop", "shop")),
    "events of any of two sources": (
        [allow("events:PutEvents", BUS, StringEquals={"events:source": ["shop", "bank"]})], put_events("bank", "shop")
    ),
    "metrics of a namespace": ([allow("cloudwatch:PutMetricData", "*", StringEquals={"cloudwatch:namespace": "Shop"})], put_metric("Shop")),
    "what is refused without TLS": ([allow("s3:*", OBJECTS), deny("s3:*", "*", Bool={"aws:SecureTransport": "false"})], read),
    "what is refused to other accounts": (
        [allow("s3:*", OBJECTS), deny("s3:*", "*", StringNotEquals={"aws:PrincipalAccount": "000000000000"})], read
    ),
}  # fmt: skip
DENIED: dict[str, tuple[list[Statement], Callable[[Caller], Any]]] = {
    "nothing": ([], read),
    "another action": ([allow("s3:PutObject", OBJECTS)], read),
    "another resource": ([allow("s3:GetObject", f"{BUCKET}/other/*")], read),
    "a resource in other letters": ([allow("s3:GetObject", f"{BUCKET}/HELD/*")], read),
    "what is denied as well": ([allow("s3:*", OBJECTS), deny("s3:GetObject", f"{BUCKET}/held/*")], read),
    "the exception of an exception": ([{"Effect": "Allow", "NotAction": "s3:GetObject", "Resource": OBJECTS}], read),
    "a table without its catalog": ([allow("glue:GetTable", [DATABASE, TABLE])], look_up),
    "a table without its database": ([allow("glue:GetTable", [CATALOG, TABLE])], look_up),
    "a database without the table": ([allow("glue:GetTable", [CATALOG, DATABASE])], look_up),
    "events of another source": ([allow("events:PutEvents", BUS, StringEquals={"events:source": "shop"})], put_events("bank")),
    "one event of another source": ([allow("events:PutEvents", BUS, StringEquals={"events:source": "shop"})], put_events("shop", "bank")),
    "metrics of another namespace": (
        [allow("cloudwatch:PutMetricData", "*", StringEquals={"cloudwatch:namespace": "Shop"})], put_metric("Bank")
    ),
    "what only another account may": (
        [allow("s3:*", OBJECTS, StringEquals={"aws:PrincipalAccount": "111111111111"})], read
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ALLOWED)
def test_a_role_may(aws: LocalAws, place: None, case: str) -> None:
    statements, call = ALLOWED[case]
    call(caller(aws, *statements))


@pytest.mark.parametrize("case", DENIED)
def test_a_role_may_not(aws: LocalAws, place: None, case: str) -> None:
    statements, call = DENIED[case]
    with pytest.raises(ClientError, match=r"\(AccessDenied"):
        call(caller(aws, *statements or [allow("s3:PutObject", "arn:aws:s3:::none/*")]))


def test_a_refusal_names_role_action_and_resource_as_aws_does(aws: LocalAws, place: None) -> None:
    client = caller(aws, allow("glue:GetTable", [CATALOG, DATABASE]))
    name = f"arn:aws:sts::000000000000:assumed-role/case-{next(_numbers) - 1}/case"
    with pytest.raises(ClientError) as refusal:
        look_up(client)
    assert refusal.value.response["Error"] == {
        "Code": "AccessDeniedException",
        "Message": f"User: {name} is not authorized to perform: glue:GetTable on resource: {GLUE}:table/shop/sales"
        " because no identity-based policy allows the glue:GetTable action",
    }


def test_only_who_may_list_a_bucket_learns_that_an_object_is_missing(aws: LocalAws, place: None) -> None:
    for statements, code in (([], "AccessDenied"), ([allow("s3:ListBucket", BUCKET)], "NoSuchKey")):
        with pytest.raises(ClientError, match=rf"\({code}\)"):
            read(caller(aws, allow("s3:GetObject", OBJECTS), *statements), key="missing")


def test_many_deletions_are_refused_one_by_one(aws: LocalAws, place: None) -> None:
    answer = caller(aws, allow("s3:GetObject", OBJECTS))("s3").delete_objects(Bucket="rights", Delete={"Objects": [{"Key": HELD}]})
    assert [(error["Key"], error["Code"]) for error in answer["Errors"]] == [(HELD, "AccessDenied")]
    assert read(aws.client)["Body"].read() == b"text"


def test_a_boundary_limits_what_a_role_may(aws: LocalAws, place: None) -> None:
    client = caller(aws, allow("s3:*", OBJECTS), boundary=allow("s3:GetObject", OBJECTS))
    read(client)
    with pytest.raises(ClientError, match=r"\(AccessDenied\).*s3:PutObject"):
        write(client)


def test_a_buckets_policy_refuses_what_the_role_is_allowed(aws: LocalAws, place: None) -> None:
    client = caller(aws, allow("s3:*", "arn:aws:s3:::strangers/*"))
    read(client, bucket="strangers")
    statement = {**deny("s3:GetObject", "arn:aws:s3:::strangers/held/*"), "Principal": "*"}
    aws.s3.put_bucket_policy(Bucket="strangers", Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    with pytest.raises(ClientError, match=r"with an explicit deny in a resource-based policy"):
        read(client, bucket="strangers")


def test_a_keys_policy_must_let_the_account_in(aws: LocalAws) -> None:
    kms = aws.client("kms")
    whole = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::000000000000:root"}, "Action": "kms:*", "Resource": "*"}
    for principal, is_allowed in ((whole["Principal"], True), ({"Service": "events.amazonaws.com"}, False)):
        policy = json.dumps({"Version": "2012-10-17", "Statement": [{**whole, "Principal": principal}]})
        key = kms.create_key(Policy=policy, BypassPolicyLockoutSafetyCheck=True)["KeyMetadata"]["Arn"]
        client = caller(aws, allow("kms:GenerateDataKey", key))("kms")
        if is_allowed:
            client.generate_data_key(KeyId=key, KeySpec="AES_256")
        else:
            with pytest.raises(ClientError, match=r"\(AccessDeniedException\)"):
                client.generate_data_key(KeyId=key, KeySpec="AES_256")


def test_who_does_not_sign_gets_nothing(aws: LocalAws, place: None) -> None:
    client = boto3.client("s3", "eu-west-2", endpoint_url=aws.endpoint, config=Config(signature_version=UNSIGNED))
    with pytest.raises(ClientError, match=r"\(AccessDenied\)"):
        client.get_object(Bucket="rights", Key=HELD)


def test_a_job_whose_role_glue_may_not_assume_fails(aws: LocalAws) -> None:
    role = aws.role("of-events", "events.amazonaws.com", allow("*", "*"))
    run = aws.run(aws.job("not-assumed", "print('run')", role=role))
    assert (run["JobRunState"], "glue.amazonaws.com cannot assume the role" in run["ErrorMessage"]) == ("FAILED", True)


def test_a_job_acts_by_its_role(aws: LocalAws) -> None:
    code = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{SCRIPTS}/*"}
    logs = {"Effect": "Allow", "Action": "logs:*", "Resource": "*"}
    role = aws.role("reads-code", "glue.amazonaws.com", code, logs)
    run = aws.run(aws.job("by-role", WHO_AM_I, role=role))
    assert aws.output(run["Id"]) == ["arn:aws:sts::000000000000:assumed-role/reads-code/GlueJobRunnerSession"]
    assert "not authorized to perform: glue:GetDatabases" in run["ErrorMessage"]


def test_each_right_that_a_role_uses_or_lacks_is_noted_once(aws: LocalAws, place: None) -> None:
    client, name = caller(aws, allow("s3:GetObject", OBJECTS)), f"case-{next(_numbers) - 1}"
    for _ in range(2):
        read(client)
        with pytest.raises(ClientError):
            write(client)
    noted = [json.loads(line) for line in (aws.local_dir / "permissions.jsonl").read_text().splitlines()]
    assert [line for line in noted if line["role"] == name] == [
        {"role": name, "action": "s3:GetObject", "sid": "", "resource": OBJECTS},
        {"role": name, "denied": "s3:PutObject", "resource": f"{BUCKET}/new.txt"},
    ]


def pipe(aws: LocalAws, name: str, *, publishers: str = "events.amazonaws.com", users_of_key: str = "events.amazonaws.com") -> None:
    """A rule for events of a source, the encrypted topic that they go to, a queue that subscribes, and one for what does not arrive."""
    topic, key = f"arn:aws:sns:eu-west-2:000000000000:{name}", aws.client("kms")
    use = {"Effect": "Allow", "Principal": {"Service": users_of_key}, "Action": ["kms:Decrypt", "kms:GenerateDataKey"], "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [use]})
    key_id = key.create_key(Policy=policy, BypassPolicyLockoutSafetyCheck=True)["KeyMetadata"]["KeyId"]
    publish = {"Effect": "Allow", "Principal": {"Service": publishers}, "Action": "sns:Publish", "Resource": topic}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [publish]})
    aws.client("sns").create_topic(Name=name, Attributes={"Policy": policy, "KmsMasterKeyId": key_id})
    aws.queue(f"{name}-gets", "sns.amazonaws.com")
    aws.queue(f"{name}-lost", "events.amazonaws.com")
    queues = "arn:aws:sqs:eu-west-2:000000000000"
    aws.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=f"{queues}:{name}-gets")
    aws.client("events").put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))
    target = {"Id": "topic", "Arn": topic, "DeadLetterConfig": {"Arn": f"{queues}:{name}-lost"}}
    aws.client("events").put_targets(Rule=name, Targets=[target])


@pytest.mark.parametrize(("name", "strangers", "arrives_at"), [
    ("let-in", {}, "let-in-gets"),
    ("no-publisher", {"publishers": "s3.amazonaws.com"}, "no-publisher-lost"),
    ("no-key", {"users_of_key": "s3.amazonaws.com"}, "no-key-lost"),
])  # fmt: skip
def test_an_event_reaches_a_topic_whose_policy_and_key_let_the_rule_in(
    aws: LocalAws, name: str, strangers: dict[str, str], arrives_at: str
) -> None:
    pipe(aws, name, **strangers)
    put_events(name)(aws.client)
    sqs = aws.client("sqs")

    def held(queue: str) -> list[Any]:
        return sqs.receive_message(QueueUrl=sqs.get_queue_url(QueueName=queue)["QueueUrl"]).get("Messages", [])  # type: ignore[no-any-return]

    assert wait_until("the event", lambda: held(arrives_at))
    assert [queue for queue in (f"{name}-gets", f"{name}-lost") if queue != arrives_at and held(queue)] == []
