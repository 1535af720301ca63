"""Help with options under headings, and examples at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click


class _Examples(click.Command):
    """What ends its help with command lines to copy."""

    _examples: Sequence[str] = ()

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, each on a line of its own."""
        with formatter.section("Examples"):
            for example in self._examples:
                formatter.write(f"{'':{formatter.current_indent}}{example}\n")


class ExampleGroup(_Examples, click.Group):
    """A group of commands whose help ends with examples."""

    def __init__(self, *args: Any, examples: Sequence[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._examples = examples


class GroupedCommand(_Examples):
    """A command whose help lists options by group.

    Parameters
    ----------
    examples : sequence of str
        Command lines to copy.
    groups : dict of str to sequence of str, optional
        Heading: options, as they are typed. Those in no group come last, under "Other options".
    """

    def __init__(
        self, *args: Any, examples: Sequence[str], groups: Mapping[str, Sequence[str]] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._groups, self._examples = groups or {}, examples

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, group by group."""
        left = [parameter for parameter in self.get_params(context) if isinstance(parameter, click.Option)]
        groups: list[tuple[str, list[click.Option]]] = []
        for heading, names in self._groups.items():
            group = [option for name in names for option in left if name in (*option.opts, *option.secondary_opts)]
            left = [option for option in left if option not in group]
            groups.append((heading, group))
        for heading, group in (*groups, ("Other options" if groups else "Options", left)):
            records = [record for option in group if (record := option.get_help_record(context)) is not None]
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)
