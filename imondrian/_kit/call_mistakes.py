"""Say what is wrong with a call that does not fit a signature, and what would: names, and what they stand for."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import wraps
from typing import Any, TypeVar

_F = TypeVar("_F", bound=Callable[..., Any])


def explained(
    function: Callable[..., Any],
    name: str,
    args: tuple[Any, ...],
    options: Mapping[str, Any],
    others: Mapping[str, str] | None = None,
    documented: Any = None,
) -> TypeError | None:
    """Return an error that says what a call lacks or has too much; None where its arguments fit.

    Parameters
    ----------
    function : callable
    name : str
        As messages call it.
    args, options : tuple and mapping
        Of the call.
    others : mapping of str to str, optional
        Names that other libraries have for a parameter.
    documented : object, optional
        Whose docstring tells what parameters are; the function's own by default.
    """
    signature = inspect.signature(function)
    try:
        signature.bind(*args, **options)
        return None
    except TypeError as error:
        known = [p.name for p in signature.parameters.values() if p.name != "self" and p.kind is not p.VAR_POSITIONAL]
        for wrong in options:
            if wrong not in signature.parameters:
                return TypeError(f"{name} has no parameter {wrong!r}{_instead(wrong, known, others or {})}")
        missing = re.search(r"missing a required (?:keyword-only )?argument: '(\w+)'", str(error))
        if missing is None:
            return TypeError(f"{name}: {error}")
        told = _told(missing[1], inspect.getdoc(function if documented is None else documented) or "")
        return TypeError(f"{name} needs {missing[1]}{told}")


def explain_mistakes(others: Mapping[str, str]) -> Callable[[_F], _F]:
    """Make an ``__init__`` say what it calls a parameter that came under another library's name, or with a typo."""

    def decorate(init: _F) -> _F:
        @wraps(init)
        def run(self: Any, *args: Any, **options: Any) -> None:
            try:
                init(self, *args, **options)
            except TypeError:
                better = explained(init, type(self).__name__, (self, *args), options, others, type(self))
                if better is None:
                    raise
                raise better from None

        return run  # type: ignore[return-value]

    return decorate


def _instead(wrong: str, known: list[str], others: Mapping[str, str]) -> str:
    if wrong in others:
        return f": it is called {others[wrong]} here"
    close = get_close_matches(wrong, known, 1)
    return f": did you mean {close[0]}?" if close else f"; there are {', '.join(known)}"


def _told(parameter: str, doc: str) -> str:
    """Return what a numpydoc docstring says of a parameter, its first sentence."""
    found = re.search(rf"^(?:\w+, )*{parameter}(?:, \w+)* : (.*)\n((?:    .*\n?)*)", doc, re.MULTILINE)
    if found is None:
        return ""
    text = " ".join(found[2].split())
    return f" ({found[1]})" + (f": {text.partition('. ')[0].rstrip('.')}" if text else "")
