"""Tables from clouds in memory or in folders."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pointmetrics import io
from pointmetrics._clouds.arrays import Pair, read_clouds, read_pair
from pointmetrics._clouds.numbers import thread_count
from pointmetrics._metrics.emd import solve_pairs
from pointmetrics._metrics.features import describe_metric, parse_metric
from pointmetrics._metrics.neighbors import find
from pointmetrics._sets.matrix import Progress, reporter

from .folders import match
from .table import Column, Row, Table, read_scale

_One = tuple[str, str, Callable[[], tuple[Any, Any]]]  # class, pair, and what reads its clouds


def table(
    methods: Any,
    truth: Any,
    *,
    metrics: Sequence[str] = ("cd-l1", "f-score@0.01"),
    scale: Any = 1.0,
    n_threads: int | None = None,
    progress: Progress = False,
) -> Table:
    """Compare the clouds of one or more methods with the truth, and lay the means out as papers print them.

    Parameters
    ----------
    methods : dict of str to clouds, or clouds
        What is judged, by the method's name; clouds alone are those of one method. Clouds are a folder, whose files are
        matched by name and whose sub-folders are classes; a batch ``(b, n, d)`` or list of (n_i, d) arrays; or a
        dict of class to such.
    truth : clouds
        Of the same form.
    metrics : sequence of str, default=("cd-l1", "f-score@0.01")
        As in :class:`pointmetrics.sklearn.CloudDistances`, and "emd".
    scale : float or dict of str to float, default=1.0
        Factor that headings name: 1e3 for all metrics that have a unit, or by metric: ``{"cd-l1": 1e3}``.
    n_threads : int, default=None
        Threads; ``None`` uses all.
    progress : bool or callable, default=False
        True writes a bar to standard error; a function is called with ``(done, total)``.

    Returns
    -------
    Table
        Printed, it is text, with a star behind the best; ``to_latex()``, ``to_markdown()``, ``to_csv()``, ``to_dict()``
        and ``mean(method, metric, over)``. Each method has a mean over every class, over classes (each
        counts as much as any other) and over pairs.

    Raises
    ------
    ValueError
        Where the methods do not hold the pairs of the truth: means over different pairs cannot be compared.

    Examples
    --------
    >>> import numpy as np, pointmetrics as pm
    >>> truth = np.random.default_rng(0).random((4, 60, 3))
    >>> classes = {"cars": truth[:3], "chairs": truth[3:]}
    >>> noisy = {name: clouds + 0.02 for name, clouds in classes.items()}
    >>> worse = {name: clouds + 0.03 for name, clouds in classes.items()}
    >>> print(pm.table({"ours": noisy, "theirs": worse}, classes, metrics=["cd-l1"], scale=1e3))
    cd-l1 × 10³ ↓
    method  cars   chairs   mean over classes   mean over pairs
    ours    34.6*    34.2*               34.4*             34.5*
    theirs  51.7     51.1                51.4              51.6
    """
    named = dict(methods) if _is_named(methods, truth) else {_name(methods): methods}
    columns = [_column(name) for name in _read_names(metrics)]
    threads = thread_count(n_threads)
    lists = {name: _pairs(clouds, truth, name) for name, clouds in named.items()}
    report, done, total = reporter(progress), 0, sum(map(len, lists.values()))
    rows = []
    for name, pairs in lists.items():
        for group, pair_name, read in pairs:
            pair = read_pair(*read(), names=(f"{pair_name} of {name}", f"{pair_name} of truth"))
            rows.append(Row(name, group, pair_name, _measure(pair, [c.name for c in columns], threads)))
            done += 1
            report(done, total)
    return Table(read_scale(scale, columns), rows, list(named))


def _is_named(methods: Any, truth: Any) -> bool:
    """Tell a dict of methods from one of classes: the truth has classes, too, and none of them is a method."""
    if not isinstance(methods, Mapping):
        return False
    if not methods:
        raise ValueError("methods must name at least one, got an empty dict")
    return not isinstance(truth, Mapping) or set(methods) != set(truth)


def _name(clouds: Any) -> str:
    return Path(clouds).name if isinstance(clouds, (str, os.PathLike)) else "mean"


def _read_names(metrics: Any) -> list[str]:
    if isinstance(metrics, str) or len(metrics) == 0:
        raise ValueError(f"metrics must be a sequence of at least one name, got {metrics!r}")
    return list(dict.fromkeys(metrics))


def _column(name: str) -> Column:
    if name == "emd":
        return Column(name, "length")
    parse_metric(name)
    unit, _, high_is_good = describe_metric(name)
    return Column(name, unit, high_is_good)


def _measure(pair: Pair, names: Sequence[str], n_threads: int) -> dict[str, float]:
    found = find(pair, n_threads)
    return {
        name: float(solve_pairs([pair.x[0]], [pair.y[0]], n_threads, pair.backend)[0][0])
        if name == "emd"
        else parse_metric(name)(pair, found)
        for name in names
    }


def _pairs(clouds: Any, truth: Any, name: str) -> list[_One]:
    """Pair the clouds of a method with the truth's, which are of one form."""
    is_folder = [isinstance(side, (str, os.PathLike)) for side in (clouds, truth)]
    if all(is_folder):
        return list(_of_folders(Path(clouds), Path(truth)))
    if any(is_folder) or isinstance(clouds, Mapping) != isinstance(truth, Mapping):
        raise TypeError(
            f"{name} and truth must both be folders, both dicts of classes or both clouds, got "
            f"{type(clouds).__name__} and {type(truth).__name__}"
        )
    if not isinstance(clouds, Mapping):
        return _of_sets("", clouds, truth, name)
    if set(clouds) != set(truth):
        only = sorted(map(str, set(clouds) ^ set(truth)))
        raise ValueError(f"{name} and truth must have the same classes, but one alone has {', '.join(only)}")
    return [one for group in truth for one in _of_sets(str(group), clouds[group], truth[group], name)]


def _of_folders(clouds: Path, truth: Path) -> Iterator[_One]:
    if not clouds.is_dir():
        raise ValueError(f"there is no folder {clouds}")
    matched = match(clouds, truth)
    if matched.only_b:
        raise ValueError(
            f"{clouds} lacks {len(matched.only_b)} of the clouds of {truth}, such as {matched.only_b[0]}: "
            f"means over different pairs cannot be compared"
        )

    def reading(a: Path, b: Path) -> Callable[[], tuple[Any, Any]]:
        return lambda: (io.read_points(a), io.read_points(b))

    for pair, a, b in matched.pairs:
        yield class_of(pair), pair, reading(a, b)


def class_of(pair: str) -> str:
    """Return the first sub-folder that a pair of files lies in."""
    return pair.partition("/")[0] if "/" in pair else ""


def _of_sets(group: str, clouds: Any, truth: Any, name: str) -> list[_One]:
    at = f" of class {group}" if group else ""
    x, y = (read_clouds(side, f"{who}{at}")[0] for side, who in ((clouds, name), (truth, "truth")))
    if "single" in (x.kind, y.kind):
        raise ValueError(f"{name} and truth must be sets of clouds{at}: (b, n, d) or a list of (n_i, d)")
    if len(x) != len(y):
        raise ValueError(f"{name} and truth must hold equally many clouds{at}, got {len(x)} and {len(y)}")

    def reading(i: int) -> Callable[[], tuple[Any, Any]]:
        return lambda: (x[i], y[i])

    return [(group, f"{group}/{i}" if group else str(i), reading(i)) for i in range(len(x))]
