"""An exported forest as a treelite model. The only module that imports treelite."""

from __future__ import annotations

from treelite import Model
from treelite.model_builder import Metadata, ModelBuilder, PostProcessorFunc, TreeAnnotation

from imondrian._forest.tree_tables import TreeTable

from .exported_forest import ExportedForest


def model(forest: ExportedForest) -> Model:
    """Return the model: the mean over the trees of depth / norm, then 2 ** -mean."""
    n_trees = len(forest.trees)
    precision = forest.row_dtype.name
    builder = ModelBuilder(
        threshold_type=precision,
        leaf_output_type=precision,
        metadata=Metadata(
            num_feature=forest.n_features,
            task_type="kRegressor",
            average_tree_output=True,
            num_target=1,
            num_class=[1],
            leaf_vector_shape=(1, 1),
        ),
        tree_annotation=TreeAnnotation(num_tree=n_trees, target_id=[0] * n_trees, class_id=[0] * n_trees),
        # Its ratio is a float32: leaves are divided by the norm instead.
        postprocessor=PostProcessorFunc(name="exponential_standard_ratio", ratio_c=1.0),
        base_scores=[0.0],
        attributes=forest.metadata,
    )
    for table in forest.trees:
        _add_tree(builder, forest, table)
    return builder.commit()


def _add_tree(builder: ModelBuilder, forest: ExportedForest, table: TreeTable) -> None:
    """Add a tree: its nodes, then its leaves."""
    n = len(table.feature)
    builder.start_tree()
    rows = zip(
        table.feature.tolist(),
        forest.thresholds(table).tolist(),
        table.heavier_left.tolist(),
        [[n + ~c if c < 0 else c for c in pair] for pair in table.child.tolist()],
        strict=True,
    )
    for node, (feature, threshold, heavier_left, (left, right)) in enumerate(rows):
        builder.start_node(node)
        builder.numerical_test(
            feature, threshold, default_left=heavier_left, opname="<=", left_child_key=left, right_child_key=right
        )
        builder.end_node()
    for leaf, value in enumerate((table.leaf_depth / forest.norm).tolist()):
        builder.start_node(n + leaf)
        builder.leaf(value)
        builder.end_node()
    builder.end_tree()
