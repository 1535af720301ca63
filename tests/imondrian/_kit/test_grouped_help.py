"""Help of the commands: every option under a heading, once, and examples that are command lines."""

import re
import shlex

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
        if isinstance(parameter, click.Option):
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
