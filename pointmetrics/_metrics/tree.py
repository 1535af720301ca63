"""Neighbours from scipy's tree, by threads that Ctrl-C stops."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

_POINTS_AT_A_TIME = 1 << 12


def query(tree: Any, points: np.ndarray, ranks: Any, n_threads: int) -> tuple[np.ndarray, np.ndarray]:
    """Return distances and indices ``(n, len(ranks))`` of the neighbours of these ranks, 1 the nearest.

    As ``tree.query`` with ``workers``, which go on writing into memory that is free by then where an exception, such
    as Ctrl-C, ends the call.
    """
    ranks = np.asarray(ranks)
    distance = np.empty((len(points), len(ranks)))
    index = np.empty(distance.shape, dtype=np.int64)
    starts = range(0, len(points), _POINTS_AT_A_TIME)
    parts, n_threads = iter(starts), min(n_threads, len(starts))
    errors: list[BaseException] = []
    left, done = iter(range(n_threads - 1, -1, -1)), threading.Lock()

    def work() -> None:
        try:
            for first in parts:  # shared: every thread takes the next one
                if errors:
                    break
                part = slice(first, first + _POINTS_AT_A_TIME)
                distance[part], index[part] = tree.query(points[part], k=ranks)
        except BaseException as error:
            errors.append(error)
        if next(left) == 0:
            done.release()

    threads = [threading.Thread(target=work, daemon=True) for _ in range(n_threads)]
    done.acquire()
    try:
        for thread in threads:
            thread.start()
        done.acquire()
    except BaseException as error:
        errors.append(error)
        raise
    finally:
        for thread in threads:
            if thread.ident is not None:
                thread.join()
    if errors:
        raise errors[0]
    return distance, index
