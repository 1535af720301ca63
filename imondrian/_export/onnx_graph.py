"""An exported forest as an ONNX graph. The only module that imports onnx."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from .exported_forest import ExportedForest

_AI_ONNX_ML = "ai.onnx.ml"
_OPSET = 13  # of ai.onnx: the oldest with every operator below in float64
_TYPES = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE}
_LEQ, _SUM, _NO_TRANSFORM = 0, 1, 0


def model(forest: ExportedForest, ml_opset: int) -> ModelProto:
    """Return the model: rows, rounded as the forest does, summed depths, scores and labels."""
    compared = forest.compared_dtype.name
    ensemble = _tree_ensemble(forest) if ml_opset == 5 else _tree_ensemble_regressor(forest)
    graph = helper.make_graph(
        [*_rounded(forest), ensemble, *_scores()],
        "isolation_mondrian_forest",
        [helper.make_tensor_value_info("X", _TYPES[forest.row_dtype.name], ["n", forest.n_features])],
        [
            helper.make_tensor_value_info("score_samples", TensorProto.DOUBLE, ["n"]),
            helper.make_tensor_value_info("predict", TensorProto.INT64, ["n"]),
        ],
        [*_constants(forest), numpy_helper.from_array(np.zeros(1, compared), "nothing")],
    )
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_AI_ONNX_ML, ml_opset)]
    made = helper.make_model(
        graph,
        opset_imports=opsets,
        producer_name="imondrian",
        producer_version=forest.metadata["imondrian"],
        ir_version=helper.find_min_ir_version_for(opsets),
    )
    helper.set_model_props(made, forest.metadata)
    return made


def _constants(forest: ExportedForest) -> list[TensorProto]:
    values = {"n_trees": float(len(forest.trees)), "norm": forest.norm, "two": 2.0, "offset": forest.offset}
    return [
        *(numpy_helper.from_array(np.array([value]), name) for name, value in values.items()),
        numpy_helper.from_array(np.array([1]), "features"),
    ]


def _rounded(forest: ExportedForest) -> list[NodeProto]:
    """Round rows to the precision of comparisons; ``invalid`` is NaN where trees here would stray, else 0."""
    compared = _TYPES[forest.compared_dtype.name]
    return [
        helper.make_node("Cast", ["X"], ["rows"], to=compared),
        helper.make_node("Mul", ["rows", "nothing"], ["zeros"]),  # NaN of NaN and of infinity
        helper.make_node("ReduceSum", ["zeros", "features"], ["none"], keepdims=0),
        helper.make_node("Cast", ["none"], ["invalid"], to=TensorProto.DOUBLE),
        helper.make_node("Cast", ["rows"], ["wide"], to=TensorProto.DOUBLE),
    ]


def _scores() -> list[NodeProto]:
    make = helper.make_node
    return [
        make("Cast", ["sums"], ["column"], to=TensorProto.DOUBLE),
        make("ReduceSum", ["column", "features"], ["sum"], keepdims=0),  # of one column: drops it
        make("Div", ["sum", "n_trees"], ["depth"]),
        make("Div", ["depth", "norm"], ["ratio"]),
        make("Neg", ["ratio"], ["exponent"]),
        make("Pow", ["two", "exponent"], ["anomaly"]),
        make("Sub", ["invalid", "anomaly"], ["score_samples"]),
        make("Sub", ["score_samples", "offset"], ["decision"]),
        make("Sub", ["decision", "decision"], ["zero"]),
        make("GreaterOrEqual", ["decision", "zero"], ["inside"]),  # neither of the two for NaN
        make("Less", ["decision", "zero"], ["outside"]),
        make("Cast", ["inside"], ["inlier"], to=TensorProto.INT64),
        make("Cast", ["outside"], ["outlier"], to=TensorProto.INT64),
        make("Sub", ["inlier", "outlier"], ["predict"]),
    ]


def _tree_ensemble(forest: ExportedForest) -> NodeProto:
    """Return the ensemble of ai.onnx.ml 5: float64 in, float64 out."""
    tables = forest.trees
    first_node = np.cumsum([0, *(len(table.feature) for table in tables)])
    first_leaf = np.cumsum([0, *(len(table.leaf_depth) for table in tables)])
    child = np.concatenate(
        [
            np.where(table.child < 0, ~table.child + leaf, table.child + node)
            for table, node, leaf in zip(tables, first_node, first_leaf, strict=False)
        ]
    )
    is_leaf = np.concatenate([table.child < 0 for table in tables]).astype(np.int64)
    threshold = np.concatenate([table.threshold for table in tables]).astype(np.float64)
    weight = np.concatenate([table.leaf_depth for table in tables])
    return helper.make_node(
        "TreeEnsemble",
        ["wide"],
        ["sums"],
        domain=_AI_ONNX_ML,
        n_targets=1,
        aggregate_function=_SUM,
        post_transform=_NO_TRANSFORM,
        tree_roots=first_node[:-1].tolist(),
        nodes_featureids=_joined(table.feature for table in tables),
        nodes_modes=numpy_helper.from_array(np.full(len(child), _LEQ, np.uint8)),
        nodes_splits=numpy_helper.from_array(threshold),
        nodes_truenodeids=child[:, 0].tolist(),
        nodes_trueleafs=is_leaf[:, 0].tolist(),
        nodes_falsenodeids=child[:, 1].tolist(),
        nodes_falseleafs=is_leaf[:, 1].tolist(),
        leaf_targetids=[0] * len(weight),
        leaf_weights=numpy_helper.from_array(weight),
    )


def _tree_ensemble_regressor(forest: ExportedForest) -> NodeProto:
    """Return the ensemble of ai.onnx.ml 3: float32 or float64 in, float32 out; leaves are numbered after nodes."""
    tables, wide = forest.trees, forest.compared_dtype == np.float64
    sizes = [(len(table.feature), len(table.leaf_depth)) for table in tables]
    rest = [np.zeros(n_leaves, np.int64) for _, n_leaves in sizes]
    ids = [np.arange(n + n_leaves) for n, n_leaves in sizes]
    child = [np.where(table.child < 0, ~table.child + len(table.feature), table.child) for table in tables]
    values = np.concatenate(
        [part for table, zeros in zip(tables, rest, strict=True) for part in (forest.thresholds(table), zeros)]
    )
    weights = np.concatenate([table.leaf_depth for table in tables])
    leaf_trees = np.repeat(np.arange(len(tables)), [n_leaves for _, n_leaves in sizes])

    def floats(name: str, array: np.ndarray) -> dict[str, Any]:
        if wide:
            return {f"{name}_as_tensor": numpy_helper.from_array(array.astype(np.float64))}
        return {name: array.tolist()}

    return helper.make_node(
        "TreeEnsembleRegressor",
        ["rows"],
        ["sums"],
        domain=_AI_ONNX_ML,
        n_targets=1,
        aggregate_function="SUM",
        post_transform="NONE",
        nodes_treeids=_joined(np.full(len(i), t) for t, i in enumerate(ids)),
        nodes_nodeids=_joined(ids),
        nodes_modes=[mode for n, n_leaves in sizes for mode in ["BRANCH_LEQ"] * n + ["LEAF"] * n_leaves],
        nodes_featureids=_joined(part for t, zeros in zip(tables, rest, strict=True) for part in (t.feature, zeros)),
        nodes_truenodeids=_joined(part for c, zeros in zip(child, rest, strict=True) for part in (c[:, 0], zeros)),
        nodes_falsenodeids=_joined(part for c, zeros in zip(child, rest, strict=True) for part in (c[:, 1], zeros)),
        target_treeids=leaf_trees.tolist(),
        target_nodeids=_joined(i[n:] for i, (n, _) in zip(ids, sizes, strict=True)),
        target_ids=[0] * len(weights),
        **floats("nodes_values", values),
        **floats("target_weights", weights),
    )


def _joined(parts: Iterable[np.ndarray]) -> list[int]:
    numbers: list[int] = np.concatenate(list(parts)).tolist()
    return numbers
