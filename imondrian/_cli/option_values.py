"""What the values of options may be: ``stream_app`` and ``table_app`` hand them on checked."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import click


def names(context: click.Context, option: click.Parameter, value: Sequence[str]) -> tuple[str, ...]:
    names = tuple(name.strip() for entry in value for name in entry.split(","))
    if not all(names) or len(set(names)) < len(names):
        raise click.BadParameter(f"must be distinct names with commas between, got {','.join(value)!r}", param=option)
    return names


def one_mark(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    value = "\t" if value in ("tab", "\\t") else value
    if value is not None and (len(value) != 1 or not value.isascii() or value in '"\r\n'):
        raise click.BadParameter("must be one character, or 'tab'", param=option)
    return value


def not_of_streams(context: click.Context, option: click.Parameter, value: bool) -> None:
    if value:
        raise click.UsageError(
            f"{option.opts[0]} is of tables: what a stream's fields will hold is not known before. --exclude A,B "
            "leaves fields out, --columns A,B takes no others; a record with text in its fields is told with the option"
        )


class Window(click.ParamType):
    name = "window"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> str | int:
        """Return a window's name, or a number of points."""
        if value in ("thinned", "decayed", "reservoir"):
            return str(value)
        try:
            return max(int(value), 1) if int(value) > 0 else self.fail("must be at least 1", parameter, context)
        except ValueError:
            self.fail(f"must be thinned, decayed, reservoir or a number of points, got {value!r}", parameter, context)


def share(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    if value is not None and not 0.0 < value < 1.0:
        raise click.BadParameter(f"must be between 0 and 1, got {value}")
    return value


def seconds(context: click.Context, parameter: click.Parameter, value: float) -> float:
    if not 0.0 < value <= 3600.0:
        raise click.BadParameter(f"must be above 0 and at most 3600, got {value}")
    return value


def records_or_age(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """Return a number of records as an int, an age as a float, in seconds."""
    if value is None:
        return None
    from imondrian._forest.times import age_seconds

    try:
        number = int(value) if re.fullmatch(r"\d{1,18}", value, re.ASCII) else age_seconds(value)
        if number > 0:
            return number
    except ValueError:
        pass
    raise click.BadParameter(
        f"must be a number of records, or an age such as 90s, 15m, 2h, 1d, got {value!r}", param=parameter
    )


def horizon(context: click.Context, parameter: click.Parameter, value: str | None) -> int | str | None:
    return value if isinstance(records_or_age(context, parameter, value), float) else int(value) if value else None


def program(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    if value is None:
        return ()
    try:
        found = shlex.split(value, posix=os.name == "posix")
    except ValueError as error:
        raise click.BadParameter(f"{error}, got {value!r}", param=parameter) from None
    if not found or shutil.which(found[0]) is None:
        raise click.BadParameter(f"there is no program {found[0] if found else value!r}", param=parameter)
    return tuple(found)


def url(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    try:
        parts = urlsplit(value)
        is_one = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_one = False
    if not is_one or not value.isascii() or not value.isprintable() or " " in value or parts.username is not None:
        raise click.BadParameter(
            f"must be an http or https address without blanks or a password, got {value!r}", param=parameter
        )
    return value
