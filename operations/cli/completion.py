"""`totesys completion`: the script that lets a shell complete commands, options and tables."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from operations.cli.options import examples

_VARIABLE = "_TOTESYS_COMPLETE"
_PROGRAM = "totesys"


@click.command(
    epilog=examples(
        'eval "$(scripts/totesys completion bash)"     # in ~/.bashrc, with the path of your checkout',
        'eval "$(scripts/totesys completion zsh)"      # in ~/.zshrc, after compinit',
    )
)
@click.argument("shell", type=click.Choice(["bash", "zsh"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script for a shell.

    It works for `totesys` on the PATH and for `scripts/totesys` alike.
    """
    completer = get_completion_class(shell)
    assert completer is not None, f"click completes {shell}"
    script = completer(context.find_root().command, {}, _PROGRAM, _VARIABLE).source()
    # click's scripts ask the program on the PATH. These ask the program whose words are completed, wherever it is.
    for click_says, we_say in (
        (f"(( ! $+commands[{_PROGRAM}] )) && return 1", ""),
        (f"zsh_complete {_PROGRAM})", "zsh_complete ${~words[1]})"),
        ("bash_complete $1)", 'bash_complete "${1/#\\~/${HOME}}")'),
    ):
        script = script.replace(click_says, we_say)
    click.echo(script)
