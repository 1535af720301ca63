"""Point-to-mesh distance against a minimisation that shares no code with it."""

import numpy as np
import pytest
from points_oracles import finite_difference

import pointmetrics as pm
from pointmetrics import _core


def closest_on_triangle(query, triangle):
    """Minimise over barycentric coordinates by checking every face of the simplex."""
    best = min((query - corner) @ (query - corner) for corner in triangle)
    subsets = [(0, 1), (1, 2), (2, 0), (0, 1, 2)]
    for subset in subsets:
        corners = triangle[list(subset)]
        edges = (corners[1:] - corners[0]).T
        coords, *_ = np.linalg.lstsq(edges, query - corners[0], rcond=None)
        if (coords >= 0).all() and coords.sum() <= 1:
            off = query - corners[0] - edges @ coords
            best = min(best, off @ off)
    return best


def mesh(seed=0, n_vertices=40, n_faces=120):
    rng = np.random.default_rng(seed)
    vertices = rng.normal(size=(n_vertices, 3))
    faces = rng.integers(0, n_vertices, size=(n_faces, 3))
    return vertices, faces, rng.normal(size=(25, 3)) * 2


@pytest.mark.parametrize("seed", range(4))
def test_equals_the_oracle_with_degenerate_faces_among_them(seed):
    vertices, faces, points = mesh(seed)
    faces[0] = faces[0, 0]
    faces[1] = faces[1, [0, 1, 1]]
    expected = [np.sqrt(min(closest_on_triangle(q, vertices[f]) for f in faces)) for q in points]
    details = pm.point_to_mesh_distance(points, vertices, faces, return_details=True)
    np.testing.assert_allclose(details.distance, expected, rtol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(points - details.closest, axis=1), expected, rtol=1e-9)
    np.testing.assert_allclose(pm.point_to_mesh_distance(points, vertices, faces), np.mean(expected), rtol=1e-9)
    np.testing.assert_allclose(
        pm.point_to_mesh_distance(points, vertices, faces, reduction="max", squared=True),
        np.max(expected) ** 2,
        rtol=1e-9,
    )


def test_points_on_the_surface_are_at_zero():
    vertices, faces, _ = mesh(5)
    centres = vertices[faces].mean(axis=1)
    assert pm.point_to_mesh_distance(centres, vertices, faces, reduction="max") < 1e-15
    assert pm.point_to_mesh_distance(vertices[faces[:, 0]], vertices, faces) == 0


def test_bits_do_not_depend_on_threads_or_instruction_set():
    vertices, faces, _ = mesh(6, 400, 3000)
    points = np.random.default_rng(7).normal(size=(3000, 3))
    best = _core.limit_instruction_set(2)
    try:
        runs = []
        for level in range(best + 1):
            _core.limit_instruction_set(level)
            runs += [
                pm.point_to_mesh_distance(points, vertices, faces, return_details=True, n_threads=k) for k in (1, 3)
            ]
    finally:
        _core.limit_instruction_set(best)
    for run in runs[1:]:
        assert run.distance.tobytes() == runs[0].distance.tobytes()
        assert run.face.tobytes() == runs[0].face.tobytes()


@pytest.mark.parametrize("options", [{}, {"squared": True}, {"reduction": "max"}])
def test_gradient_equals_finite_differences(options):
    vertices, faces, points = mesh(8, 8, 5)
    _, (grad_points, grad_vertices) = pm.point_to_mesh_distance(points, vertices, faces, return_grad=True, **options)
    np.testing.assert_allclose(
        grad_points,
        finite_difference(lambda p: pm.point_to_mesh_distance(p, vertices, faces, **options), points),
        atol=1e-6,
    )
    np.testing.assert_allclose(
        grad_vertices,
        finite_difference(lambda v: pm.point_to_mesh_distance(points, v, faces, **options), vertices),
        atol=1e-6,
    )


@pytest.mark.parametrize("options", [{}, {"reduction": "max"}, {"squared": True}])
def test_several_clouds_are_what_each_is_alone(options):
    vertices, faces, points = mesh(9)
    others = (mesh(10)[0], mesh(10)[1][:50])
    clouds = [points, points[:7] + 1]
    for side in ((vertices, faces), ([vertices, others[0]], [faces, others[1]])):
        meshes = [side, side] if isinstance(side[0], np.ndarray) else list(zip(*side, strict=True))
        alone = [
            pm.point_to_mesh_distance(c, *m, return_grad=True, **options) for c, m in zip(clouds, meshes, strict=True)
        ]
        values, grads = pm.point_to_mesh_distance(clouds, *side, return_grad=True, **options)
        np.testing.assert_array_equal(values, [value for value, _ in alone])
        for i, (_, expected) in enumerate(alone):
            np.testing.assert_array_equal(grads[0][i], expected[0])
            np.testing.assert_array_equal(grads[1][i], expected[1])
        details = pm.point_to_mesh_distance(clouds, *side, return_details=True)
        assert [len(d) for d in details.distance] == [25, 7]
    batch = np.stack([points, points + 1]).astype(np.float32)
    details = pm.point_to_mesh_distance(batch, vertices.astype("f4"), faces, return_details=True)
    assert details.closest.shape == (2, 25, 3) and details.distance.dtype == np.float32


def test_meshes_must_fit_the_clouds():
    vertices, faces, points = mesh()
    with pytest.raises(ValueError, match="got a list of 2 for a single of 1"):
        pm.point_to_mesh_distance(points, [vertices] * 2, [faces] * 2)
    with pytest.raises(ValueError, match="faces must be a list of 2 arrays"):
        pm.point_to_mesh_distance([points] * 2, [vertices] * 2, faces)


@pytest.mark.parametrize(
    "faces, error, message",
    [
        ([[0, 1, 40]], ValueError, r"faces must index the 40 vertices, got 40 at index \(0, 2\)"),
        ([[0, -1, 2]], ValueError, r"got -1 at index \(0, 1\)"),
        (np.zeros((0, 3), int), ValueError, r"at least one face, got \(0, 3\)"),
        ([[0.0, 1.0, 2.0]], TypeError, "faces must hold integer vertex indices"),
    ],
)
def test_bad_faces_are_named(faces, error, message):
    vertices, _, points = mesh()
    with pytest.raises(error, match=message):
        pm.point_to_mesh_distance(points, vertices, faces)
