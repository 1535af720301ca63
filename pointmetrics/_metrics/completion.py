"""What completion papers report beside the distance to the truth: of many completions, of scans, of tracks."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np

from pointmetrics._backends.conventions import ConventionName, look_up
from pointmetrics._clouds.arrays import read_clouds, read_pair
from pointmetrics._clouds.libraries import on_callers_device
from pointmetrics._clouds.numbers import thread_count

from .chamfer import chamfer_distance, read_options, value_of
from .hausdorff import value_and_grad as _hausdorff
from .neighbors import PreparedCloud, find


@on_callers_device
def unidirectional_hausdorff_distance(
    partial: Any, completions: Any, *, lengths: Any = None, n_threads: int | None = None
) -> Any:
    """Compute how far completions are from keeping the input (UHD): the mean of their directed Hausdorff distances.

    Parameters
    ----------
    partial : array (n, d)
        The input cloud.
    completions : array (k, m, d), or list of (m_i, d) arrays
        What was made of it. A single completion is an array (m, d).
    lengths : (k,) integers, default=None
        Points in use of each completion of an array.
    n_threads : int, default=None
        Threads; ``None`` uses all.

    Returns
    -------
    scalar
        A length. Tables multiply by 100.

    Notes
    -----
    Of one completion, the largest distance of a point of ``partial`` to its nearest point there.

    References
    ----------
    Wu, Chen, Zhuang, Chen, "Multimodal Shape Completion via Conditional Generative Adversarial Networks", ECCV 2020,
    section 4; ``directed_hausdorff`` in ``evaluation/completeness.py`` of its code.

    Examples
    --------
    >>> import pointmetrics as pm
    >>> float(pm.unidirectional_hausdorff_distance([[0.0, 0.0]], [[[0.0, 1.0]], [[3.0, 4.0]]]))
    3.0
    """
    given, _ = read_clouds(partial, "partial")
    if given.kind != "single":
        raise ValueError(f"partial must be one cloud of shape (n, d), got a {given.kind} of {len(given)}")
    names = ("partial", "completions")
    pair = read_pair(PreparedCloud(partial), completions, lengths=(None, lengths), names=names)
    values, _ = _hausdorff(pair, find(pair, n_threads), direction="x_to_y", need_grad=False)
    return pair.result(values).mean()


@on_callers_device
def total_mutual_difference(
    completions: Any, *, convention: ConventionName = "cd-l2", lengths: Any = None, n_threads: int | None = None
) -> Any:
    """Compute how diverse completions of one input are (TMD): higher is more diverse.

    Parameters
    ----------
    completions : array (k, n, d), or list of k arrays (n_i, d)
        Two or more.
    convention : str, default="cd-l2"
        Of the Chamfer distance between two of them: a key of :func:`conventions`.
    lengths : (k,) integers, default=None
        Points in use of each completion of an array.
    n_threads : int, default=None
        Threads; ``None`` uses all.

    Returns
    -------
    float
        In the unit of the convention. Tables multiply by 100.

    Notes
    -----
    The sum over all completions of each one's mean distance to the others: 2 / (k - 1) times the sum over pairs. It
    grows with k, which is 10 in the paper.

    References
    ----------
    Wu, Chen, Zhuang, Chen, "Multimodal Shape Completion via Conditional Generative Adversarial Networks", ECCV 2020,
    section 4; ``process_one`` in ``evaluation/total_mutual_diff.py`` of its code.

    Examples
    --------
    >>> import pointmetrics as pm
    >>> float(pm.total_mutual_difference([[[0.0, 0.0]], [[1.0, 0.0]], [[2.0, 0.0]]]))
    12.0
    """
    definition = look_up(convention)
    clouds, _ = read_clouds(completions, "completions", lengths=lengths)
    k = len(clouds)
    if k < 2 or clouds.kind == "single":
        raise ValueError(f"completions must be two clouds or more, got {k}")
    pairs = np.array(list(combinations(range(k), 2)), dtype=np.int64)
    sums = clouds.backend.pairwise(
        clouds.points, clouds.offsets, clouds.points, clouds.offsets, pairs, definition.power, thread_count(n_threads)
    )
    counts = clouds.counts[pairs] if definition.reduction == "mean" else np.ones_like(pairs)
    values = definition.factor * (sums[0] / counts[:, 0] + sums[1] / counts[:, 1])
    return float(values.sum() * 2 / (k - 1))


@on_callers_device
def fidelity(
    partial: Any,
    completion: Any,
    *,
    convention: ConventionName = "cd-l2",
    lengths: Any = None,
    n_threads: int | None = None,
) -> Any:
    """Compute how well a completion keeps its input: the mean distance from the input's points to it.

    Parameters
    ----------
    partial, completion : array (n, d) and (m, d), or (b, n, d) and (b, m, d), or lists of (n_i, d) arrays
        Input and output.
    convention : str, default="cd-l2"
        Whether distances are squared: "cd-l2" is the square, as in the KITTI tables of PoinTr and after it, "cd-l1"
        the distance that the text of PCN speaks of.
    lengths : (b,) integers or tuple of two such, default=None
        Points in use of each cloud of a batch.
    n_threads : int, default=None
        Threads; ``None`` uses all.

    Returns
    -------
    scalar or (b,) array
        Length or length^2. Tables multiply by 1000.

    References
    ----------
    Yuan, Khot, Held, Mertz, Hebert, "PCN: Point Completion Network", 3DV 2018, section 5.3. Squares:
    ``get_Fidelity`` in ``KITTI_metric.py`` of PoinTr's code, which also leaves out points that are (0, 0, 0).

    Examples
    --------
    >>> import pointmetrics as pm
    >>> float(pm.fidelity([[0.0, 0.0]], [[0.0, 2.0], [9.0, 9.0]]))
    4.0
    """
    pair = read_pair(partial, completion, lengths=lengths, names=("partial", "completion"))
    options = read_options(pair, convention, None, "x_to_y", None)
    return pair.result(value_of(pair, find(pair, n_threads), options))


@on_callers_device
def consistency(
    frames: Any, *, convention: ConventionName = "cd-l2", lengths: Any = None, n_threads: int | None = None
) -> Any:
    """Compute how little the completions of one object change from frame to frame.

    Parameters
    ----------
    frames : array (f, n, d), or list of f arrays (n_i, d)
        Completions of one instance in consecutive frames, two or more. Tables average over instances.
    convention : str, default="cd-l2"
        Of the Chamfer distance: a key of :func:`conventions`.
    lengths : (f,) integers, default=None
        Points in use of each frame of an array.
    n_threads : int, default=None
        Threads; ``None`` uses all.

    Returns
    -------
    scalar
        The mean Chamfer distance of consecutive frames. Tables multiply by 1000.

    References
    ----------
    Yuan, Khot, Held, Mertz, Hebert, "PCN: Point Completion Network", 3DV 2018, section 5.3. Squares, and an average
    over each car first: ``get_Consistency`` in ``KITTI_metric.py`` of PoinTr's code, which skips frames that do not
    follow each other.

    Examples
    --------
    >>> import pointmetrics as pm
    >>> float(pm.consistency([[[0.0, 0.0]], [[1.0, 0.0]], [[3.0, 0.0]]]))
    5.0
    """
    clouds, library = read_clouds(frames, "frames", lengths=lengths)
    if len(clouds) < 2 or clouds.kind == "single":
        raise ValueError(f"frames must be two clouds or more, got {len(clouds)}")
    parts = [library.wrap(clouds[i]) for i in range(len(clouds))]
    return chamfer_distance(parts[:-1], parts[1:], convention=convention, n_threads=n_threads).mean()
