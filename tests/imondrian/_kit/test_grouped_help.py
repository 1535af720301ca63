"""Help of the commands: every option under a heading, once, and examples that are command lines."""

import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest

pytest.importorskip("click", reason="needs click: pip install 'imondrian[cli]'")
pytest.importorskip("rich", reason="needs rich: pip install 'imondrian[cli]'")

import click

from imondrian._cli import app as forests
from imondrian._kit.grouped_help import GroupedCommand
from pointmetrics._cli import app as points

COMMANDS = {
    f"{program} {name}": command
    for program, app in (("imondrian", forests.app), ("pointmetrics", points.app))
    for name, command in app.commands.items()
    if isinstance(command, GroupedCommand)
}


def test_all_commands_with_many_options_are_grouped():
    assert {
        "imondrian score",
        "imondrian explain",
        "imondrian stream",
        "pointmetrics compare",
        "pointmetrics sets",
        "pointmetrics audit",
    } <= COMMANDS.keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_told_once_and_under_its_heading(name):
    command = COMMANDS[name]
    context = click.Context(command, info_name=name)
    text = command.get_help(context)
    for parameter in command.get_params(context):
        if isinstance(parameter, click.Option) and not parameter.hidden:
            record = parameter.get_help_record(context)[0].split()[0].rstrip(",")
            assert len(re.findall(rf"^  {re.escape(record)}(?![-\w])", text, re.MULTILINE)) == 1, record
    listed = {option for group in command._groups.values() for option in group}
    assert listed <= {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    headings = re.findall(r"^([A-Z][^\n]*):$", text, re.MULTILINE)
    assert headings[-1] == "Examples" and set(command._groups) < set(headings)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_are_command_lines(name):
    command = COMMANDS[name]
    assert command._examples
    for example in command._examples:
        words = next(shlex.split(part) for part in example.split(" | ") if part.startswith(name))
        words = words[2 : words.index("<")] if "<" in words else words[2:]
        command.make_context(name, words)
        assert f"  {example}\n" in command.get_help(click.Context(command, info_name=name)) + "\n"


@pytest.mark.parametrize(("program", "app"), [("imondrian", forests.app), ("pointmetrics", points.app)])
def test_the_program_s_help_has_examples_and_whole_summaries(program, app):
    assert all(f"{program} {name}" in COMMANDS for name in app.commands)
    text = app.get_help(click.Context(app, info_name=program, terminal_width=80))
    summaries, examples = text.split("Commands:\n")[1].split("\n\nExamples:\n")
    assert len(summaries.splitlines()) == len(app.commands) and "..." not in summaries
    assert all(program in example for example in examples.splitlines())


SHELLS = {"bash": "complete -o nosort -F", "zsh": "#compdef", "fish": "complete --no-files --command"}


@pytest.mark.parametrize("program", ["imondrian", "pointmetrics"])
@pytest.mark.parametrize("shell", SHELLS)
def test_shells_can_complete(program, shell):
    def run(command, **words):
        code = f"from {program}.cli import main; main()"
        variables = {f"_{program.upper()}_COMPLETE": command, **words}
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **variables}, check=False
        )
        assert "Traceback" not in done.stderr
        return done.stdout

    if shell == "bash" and shutil.which("bash") is None:
        pytest.skip("needs bash")
    script = run(f"{shell}_source")
    assert SHELLS[shell] in script and f"_{program}_completion" in script
    if shell == "fish":
        return  # its words come in another way
    option = {"imondrian": "score --infi", "pointmetrics": "compare --norm"}[program]
    found = run(f"{shell}_complete", COMP_WORDS=f"{program} {option}", COMP_CWORD="2")
    assert {"imondrian": "--infinite", "pointmetrics": "--normalise"}[program] in found.replace("\n", ",").split(",")
    places = run(f"{shell}_complete", COMP_WORDS=f"{program} {option.split()[0]} a", COMP_CWORD="2")
    assert places.startswith("file")  # the shell completes names of files
