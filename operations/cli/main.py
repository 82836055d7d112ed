"""`scripts/totesys`: the one command. It imports a command's module only when that command runs: --help and completion are quick."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

import click
from click.shell_completion import CompletionItem

from operations.cli.exit_codes import INTERRUPTED

# Every command with its line in --help, by section. Its module in operations/cli has its name and defines it.
SECTIONS = {
    "Everyday": {
        "run": "Run both workflows once, and wait.",
        "status": "Show the deployment, and what needs a person.",
        "query": "Ask Athena, and print the answer.",
        "report": "Write one HTML page that shows the deployment.",
    },
    "When something is wrong": {
        "deadletters": "Show and settle what is kept out.",
        "reconcile": "Compare the warehouse with the source.",
        "backfill": "Rebuild the lake and the warehouse from landed batches.",
        "pause": "Stop the schedule.",
        "resume": "Start the schedule again.",
    },
    "Contracts": {
        "schema": "Show the registered contracts, draft the next one, write the data dictionary.",
    },
    "Deployment": {
        "deploy": "Deploy to AWS or to a local stack, or show what a deploy would change.",
        "destroy": "Remove a deployment.",
        "local": "Start and stop a local stack: source, warehouse and AWS.",
    },
    "Measure": {
        "cost": "Estimate what the pipeline costs on AWS in a month.",
        "soak": "Test with random histories and faults until the time is over.",
    },
    "Shell": {
        "completion": "Print the completion script for bash or zsh.",
    },
}
_EPILOG = """
\b
Exit codes of every command:
    0  as asked
    1  not as asked: it failed, the answer is no, or something needs a person
    2  could not start: wrong options, no connection, nothing deployed
  130  interrupted; what was started goes on

\b
Every command has --help with an example. Where it says --json, stdout is
one JSON document and nothing else.
"""


class Commands(click.Group):
    """The group of all commands. It imports only the command that is called."""

    def list_commands(self, context: click.Context) -> list[str]:
        return [name for commands in SECTIONS.values() for name in commands]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in self.list_commands(context):
            return None
        command: click.Command = getattr(import_module(f"operations.cli.{name}"), name)
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, self.list_commands(context)))
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), line) for name, line in commands.items()])

    def shell_complete(self, context: click.Context, incomplete: str) -> list[CompletionItem]:
        lines = {name: line for commands in SECTIONS.values() for name, line in commands.items()}
        found = [CompletionItem(name, help=line) for name, line in lines.items() if name.startswith(incomplete)]
        return [*found, *click.Command.shell_complete(self, context, incomplete)]


@click.group(cls=Commands, epilog=_EPILOG, context_settings={"help_option_names": ["--help"]}, no_args_is_help=True)
def totesys() -> None:
    """Run and look after the pipeline from the source to the warehouse."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    try:
        return totesys.main(args=argv, prog_name="totesys", standalone_mode=False) or 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        print("totesys: interrupted", file=sys.stderr)
        return INTERRUPTED
