"""Help with options under headings, and an example at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click


class GroupedCommand(click.Command):
    """A command whose help lists options by group.

    Parameters
    ----------
    groups : dict of str to sequence of str
        Heading: options, as they are typed. Those in no group come last, under "Other options".
    examples : sequence of str
        Command lines to copy.
    """

    def __init__(self, *args: Any, groups: Mapping[str, Sequence[str]], examples: Sequence[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._groups, self._examples = groups, examples

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, group by group."""
        left = [parameter for parameter in self.get_params(context) if isinstance(parameter, click.Option)]
        groups: list[tuple[str, list[click.Option]]] = []
        for heading, names in self._groups.items():
            group = [option for name in names for option in left if name in (*option.opts, *option.secondary_opts)]
            left = [option for option in left if option not in group]
            groups.append((heading, group))
        for heading, group in (*groups, ("Other options", left)):
            records = [record for option in group if (record := option.get_help_record(context)) is not None]
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, each on a line of its own."""
        with formatter.section("Examples"):
            for example in self._examples:
                formatter.write(f"{'':{formatter.current_indent}}{example}\n")
