"""Every name inside ministack that this package replaces or calls, with the parameters that it must have.

ministack is pinned to one version, since these are not its public interface. When a release moves one of them, the launcher refuses
to start and a test fails, both naming it: which is better than a wrong answer.
"""

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

VERSION = "1.5.33"


@dataclass(frozen=True)
class Seam:
    """A function (`parameters` given), or a table of state or a class (`parameters` is None), in ministack."""

    module: str
    name: str
    parameters: tuple[str, ...] | None


def _functions(module: str, **names: str) -> list[Seam]:
    return [Seam(f"ministack.services.{module}", name, tuple(parameters.split())) for name, parameters in names.items()]


def _core(module: str, **names: str) -> list[Seam]:
    return [Seam(f"ministack.core.{module}", name, tuple(parameters.split())) for name, parameters in names.items()]


def _tables(module: str, *names: str) -> list[Seam]:
    return [Seam(f"ministack.services.{module}", name, None) for name in names]


_GLUE_ACTIONS = (
    "_create_table _update_table _delete_table _batch_delete_table"
    " _create_partition _batch_create_partition _batch_update_partition _delete_partition"
    " _get_partition _batch_get_partition _get_partitions"
    " _create_job _update_job _start_job_run _batch_stop_job_run _get_job_run _get_job_runs"
    " _create_trigger _update_trigger _start_trigger _stop_trigger _get_workflow _start_workflow_run"
)

PATCHED = [
    *_functions("glue", _handle_request_sync="method path headers body query_params"),
    *_functions("glue", **dict.fromkeys(_GLUE_ACTIONS.split(), "data")),
    *_functions("eventbridge", _invoke_target="target event rule view", _render_input_template="template replacements"),
    *_functions("eventbridge", _render_placeholder="var_name token replacements in_string"),
    *_functions("cloudwatch", _evaluate_alarm="alarm", _dispatch_alarm_actions="alarm old_state new_state reason"),
    *_functions("sns", _deliver_to_lambda="endpoint envelope topic_arn sub_arn msg_id raw_message message_attributes"),
    *_functions("lambda_svc", execution_credentials="config", _emit_lambda_logs="func request_id log_text error duration_ms log_source"),
    *_core("lambda_runtime", execution_credentials="config"),
    *_functions("cloudwatch_logs", handle_request="method path headers body query_params"),
    *_functions(
        "athena",
        _ensure_default_workgroup="",
        _start_query_execution="data",
        _run_duckdb="query database catalog",
        _rewrite_data_paths="query database catalog",
        _materialize_table_files="location workdirs",
        _empty_relation="table_data",
        _save_query_results="query_id",
        _datum_text="value",
    ),
    *_core(
        "iam_evaluator",
        _resolve_condition_key="key ctx",
        parse_policy_document="doc",
        evaluate="ctx policies limits",
        enforce="access_key_id iam_action service region resource_arn service_context",
    ),
    *_core(
        "iam_actions",
        request_tag_context="service iam_action body params",
        access_denied_response=(
            "service action principal_arn request_id error_code message headers resource_arn explicit_deny resource_policy_arn"
        ),
    ),
    *_tables("cloudformation.provisioners", "_RESOURCE_HANDLERS", "_GLUE_JOB_DEFAULTS", "_GLUE_TRIGGER_DEFAULTS"),
]

USED = [
    *_functions("glue", _create_workflow="data", _update_workflow="data", _delete_workflow="data", _arn="resource_type name"),
    *_core(
        "iam_evaluator",
        evaluate_resource_policy="doc ctx service named_only direct_only",
        _first_match="ctx stmts effect",
        fnmatch_iam_cs="value pattern",
    ),
    *(Seam("ministack.core.iam_evaluator", name, None) for name in ("AuthError", "EvalContext", "EvalResult")),
    *_core("iam_actions", identity_denial_message="action principal_arn resource explicit_deny"),
    *_functions("sts", register_session="access_key session", _gen_session_access_key="", _gen_secret="", _gen_session_token=""),
    *_tables("iam", "_roles"),
    *_functions("sns", topic_policy_for_arn="topic_arn", _topic_by_arn_any_scope="topic_arn"),
    *_functions("sqs", queue_policy_allows="queue_arn service source_arn source_account"),
    *_functions("kms", key_policy_for_arn="resource_arn"),
    *_functions("lambda_svc", function_policy_for_arn="resource_arn"),
    *_tables("cloudwatch_logs", "_log_groups"),
    *_tables("glue", "_databases", "_tables", "_partitions", "_partition_indexes"),
    *_tables("glue", "_table_column_statistics", "_partition_column_statistics"),
    *_tables("glue", "_jobs", "_job_runs", "_triggers", "_workflows", "_workflow_runs", "_tags"),
    *_functions("s3", _get_object_data="bucket_name key version_id", _put_object="bucket_name key body headers"),
    *_functions("s3", _put_bucket_lifecycle="name body"),
    *_tables("s3", "_buckets", "_bucket_lifecycle"),
    *_functions("eventbridge", _put_events="data allow_aws_source"),
    *_functions("cloudwatch", _evaluate_all_alarms="", _set_alarm_state="params cbor_data is_cbor is_json"),
    *_functions("cloudwatch", _calc_stats="points", _stat_value="stats stat_name points", _dims_key="dims", _dims_from_list="dimensions"),
    *_tables("cloudwatch", "_metrics"),
    *_tables("iam", "_policies", "_roles"),
    *_tables("sqs", "_queues", "_queue_name_to_url"),
    *_functions("cloudwatch_logs", _create_log_group="data", _create_log_stream="data", _put_log_events="data"),
    *_functions("athena", _table_relation="table_data files", _data_format="table_data", _sql_list="paths"),
    *_functions("athena", _sql_tokens="sql", _create_named_query="data", _delete_named_query="data"),
    *_functions("athena", _table_references="query", _qualified_column_prefixes="query database table table_edit"),
    *_tables("athena", "_executions", "_workgroups", "_Cursor", "_NAME_RE"),
    *_functions("cloudformation.provisioners", _glue_call="fn data resource_type action", _tag_map="tags"),
    *_functions("cloudformation.provisioners", _physical_name="stack_name logical_id lowercase max_len seeded"),
    *_functions("cloudformation.provisioners", _glue_sync_tags="arn old_props new_props resource_type"),
]


class Moved(Exception):
    """The installed ministack is not the one that this package extends; the message names what differs."""


def check() -> None:
    """Raise Moved unless version, names and signatures are as written here. Call it before anything is replaced."""
    installed = version("ministack")
    if installed != VERSION:
        raise Moved(f"ministack {installed} is installed, and local_aws extends {VERSION}: install the locked requirements")
    for seam in (*PATCHED, *USED):
        held = getattr(importlib.import_module(seam.module), seam.name, None)
        if held is None:
            raise Moved(f"{seam.module}.{seam.name} is gone")
        if seam.parameters is not None and tuple(inspect.signature(held).parameters) != seam.parameters:
            raise Moved(f"{seam.module}.{seam.name}{inspect.signature(held)} does not take {seam.parameters}")


def replace(module: Any, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Put our function in the place of ministack's, which is returned. Only a name that stands in PATCHED may be replaced."""
    if not any(seam.module == module.__name__ and seam.name == name for seam in PATCHED):
        raise Moved(f"{module.__name__}.{name} is not listed in PATCHED")
    original: Callable[..., Any] = getattr(module, name)
    setattr(module, name, function)
    return original
