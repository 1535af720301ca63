"""Clouds and meshes as the objects of the libraries that people have them in."""

import json
import subprocess
import sys
import warnings

import numpy as np
import pytest

import pointmetrics as pm
import pointmetrics.io

RNG = np.random.default_rng(17)
X, Y = RNG.random((40, 3)), RNG.random((50, 3))
CORNERS = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
FACES = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
AREA = 1.5 + np.sqrt(3) / 2


def library(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries themselves, at their import
        return pytest.importorskip(name, reason=f"needs {name}", exc_type=ImportError)


def open3d_cloud(points):
    o3d = library("open3d")
    return o3d.geometry.PointCloud(o3d.utility.Vector3dVector(points))


def open3d_tensor_cloud(points):
    o3d = library("open3d")
    return o3d.t.geometry.PointCloud(o3d.core.Tensor(np.ascontiguousarray(points)))


def open3d_tensor(points):
    return library("open3d").core.Tensor(np.ascontiguousarray(points))


def trimesh_cloud(points):
    return library("trimesh").PointCloud(points)


def pyvista_cloud(points):
    return library("pyvista").PolyData(np.ascontiguousarray(points))


def open3d_mesh(vertices, faces):
    o3d = library("open3d")
    return o3d.geometry.TriangleMesh(o3d.utility.Vector3dVector(vertices), o3d.utility.Vector3iVector(faces))


def open3d_tensor_mesh(vertices, faces):
    o3d = library("open3d")
    return o3d.t.geometry.TriangleMesh(o3d.core.Tensor(vertices), o3d.core.Tensor(faces))


def trimesh_mesh(vertices, faces):
    return library("trimesh").Trimesh(vertices, faces, process=False)


def pyvista_mesh(vertices, faces):
    return library("pyvista").PolyData.from_regular_faces(vertices, faces)


CLOUDS = [open3d_cloud, open3d_tensor_cloud, open3d_tensor, trimesh_cloud, pyvista_cloud]
MESHES = [open3d_mesh, open3d_tensor_mesh, trimesh_mesh, pyvista_mesh]


class Pointclouds:
    """What PyTorch3D's class of this name offers; it has no wheels to install."""

    def __init__(self, points):
        self._points = list(points)

    def points_list(self):
        return self._points

    def __len__(self):
        return len(self._points)

    def __getitem__(self, i):
        return Pointclouds(self._points[i] if isinstance(i, slice) else [self._points[i]])


class Meshes:
    """What PyTorch3D's class of this name offers."""

    def __init__(self, verts, faces):
        self._verts, self._faces = list(verts), list(faces)

    def verts_list(self):
        return self._verts

    def faces_list(self):
        return self._faces


# Every public function that takes clouds, called with two.
CALLS = {
    "accuracy_completeness": lambda f, x, y: f(x, y),
    "approxmatch_emd": lambda f, x, y: f(x, x),
    "audit_emd": lambda f, x, y: f(x, x),
    "ball_query": lambda f, x, y: f(x, y, 0.3),
    "chamfer_distance": lambda f, x, y: f(x, y),
    "cloud_to_cloud": lambda f, x, y: f(x, y),
    "compare": lambda f, x, y: f(x, y),
    "consistency": lambda f, x, y: f([x, y, x]),
    "density_aware_chamfer_distance": lambda f, x, y: f(x, y),
    "earth_movers_distance": lambda f, x, y: f(x, y),
    "estimate_normals": lambda f, x, y: f(x),
    "f_score": lambda f, x, y: f(x, y, threshold=0.1),
    "farthest_points": lambda f, x, y: f(x, 5),
    "fidelity": lambda f, x, y: f(x, y),
    "hausdorff_distance": lambda f, x, y: f(x, y),
    "hyperbolic_chamfer_distance": lambda f, x, y: f(x, y),
    "info_chamfer_distance": lambda f, x, y: f(x, y),
    "m3c2": lambda f, x, y: f(x, y, radius=0.3, max_distance=1.0, cores=y, normal_radius=0.5),
    "measure_preset": lambda f, x, y: f("pointr", x, y),
    "msn_auction_emd": lambda f, x, y: f(x, x),
    "near_field_chamfer_distance": lambda f, x, y: f(x, y, [0.1] * 3, [0.9] * 3),
    "nearest_neighbors": lambda f, x, y: f(x, y),
    "normal_consistency": lambda f, x, y: f(x, y, (np.ones((40, 3)), np.ones((50, 3)))),
    "point_to_mesh_distance": lambda f, x, y: f(x, CORNERS, FACES),
    "psnr_d1": lambda f, x, y: f(x, y, peak=1.0),
    "psnr_d2": lambda f, x, y: f(x, y, peak=1.0),
    "geometry_distortion": lambda f, x, y: f(x, y, peak=1.0).d2,
    "ray_depth_errors": lambda f, x, y: f(x, x),
    "sinkhorn_divergence": lambda f, x, y: f(x, y, epsilon=0.1),
    "sliced_wasserstein_distance": lambda f, x, y: f(x, y),
    "tanks_and_temples": lambda f, x, y: f(x, y, threshold=0.1),
    "thin_points": lambda f, x, y: f(x, 0.1),
    "total_mutual_difference": lambda f, x, y: f([x, y, x]),
    "unidirectional_hausdorff_distance": lambda f, x, y: f(x, [y, y]),
    "uniformity": lambda f, x, y: f(x, percentages=(0.2,)),
    "voxel_downsample": lambda f, x, y: f(x, 0.3),
    "PreparedCloud": lambda f, x, y: pm.chamfer_distance(x, f(y)),
}
NO_CLOUDS = {"conventions", "info", "presets", "volumetric_iou", "table"}  # or meshes and folders alone


def plain(value):
    """Return a result as something that is compared part by part."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if hasattr(value, "__dataclass_fields__"):
        return {name: plain(getattr(value, name)) for name in value.__dataclass_fields__}
    return value if value is None or isinstance(value, str) else np.asarray(value)


def test_every_function_of_the_package_is_among_those_called():
    functions = {name for name in pm.__all__ if name[0].islower() or name == "PreparedCloud"}
    assert functions - NO_CLOUDS == set(CALLS)


@pytest.mark.parametrize("make", CLOUDS)
def test_every_function_takes_the_object_for_its_points(make):
    make(X)
    for name, call in CALLS.items():
        function = getattr(pm, name)
        precision = np.float32 if make is pyvista_cloud and make(X).points.dtype == np.float32 else np.float64
        expected = call(function, X.astype(precision), Y.astype(precision))
        np.testing.assert_equal(plain(call(function, make(X), make(Y))), plain(expected), err_msg=name)


@pytest.mark.parametrize("make", CLOUDS)
def test_precision_is_kept(make):
    single = make(X.astype(np.float32))
    wide = make is open3d_cloud or make is trimesh_cloud  # keep float64 alone
    assert pm.chamfer_distance(single, single).dtype == (np.float64 if wide else np.float32)


@pytest.mark.parametrize("make", CLOUDS)
def test_sets_files_and_features_take_objects(make, tmp_path):
    arrays = [X, Y, X + 1, Y + 1]
    objects = [make(cloud) for cloud in arrays]
    np.testing.assert_array_equal(pm.sets.pairwise_distances(objects), pm.sets.pairwise_distances(arrays))
    # An object and an array beside it are both numpy's.
    assert pm.chamfer_distance([objects[0], X], [Y, objects[1]]).tolist() == [pm.chamfer_distance(X, Y)] * 2
    pm.io.write_points(tmp_path / "cloud.npy", objects[0])
    np.testing.assert_array_equal(pm.io.read_points(tmp_path / "cloud.npy"), X)
    features = pm.sklearn.CloudDistances(objects[0], previous=True)
    expected = pm.sklearn.CloudDistances(X, previous=True).fit_transform(arrays)
    np.testing.assert_array_equal(features.fit_transform(objects), expected)
    model = pm.river.CloudDistances(objects[0])
    assert list(model.transform_one(objects[1]).values()) == expected[1, :2].tolist()


@pytest.mark.parametrize("make", MESHES)
def test_functions_of_meshes_take_the_object_alone(make):
    mesh = make(CORNERS, FACES)
    expected = pm.point_to_mesh_distance(X, CORNERS, FACES)
    assert pm.point_to_mesh_distance(X, mesh) == pytest.approx(expected, rel=1e-7)
    np.testing.assert_allclose(pm.point_to_mesh_distance([X, Y], [mesh, mesh])[0], expected, rtol=1e-7)
    assert pm.volumetric_iou(mesh, mesh) == 1.0
    assert pm.volumetric_iou(mesh, make(CORNERS + 5, FACES), n_samples=10**5) == 0.0
    drawn = pm.io.sample_mesh(mesh, 50, seed=0)
    np.testing.assert_allclose(drawn, pm.io.sample_mesh(CORNERS, FACES, 50, seed=0), atol=1e-7)
    np.testing.assert_array_equal(drawn, pm.io.sample_mesh(mesh, n=50, seed=0))
    with_mesh, without = (pm.measure_preset("apu-ldi", X, Y, mesh=m) for m in (mesh, None))
    assert with_mesh["P2F x1e3"] == pytest.approx(1e3 * expected) and without["P2F x1e3"] is None
    with pytest.raises(TypeError, match="vertices is a mesh with faces of its own: leave faces out"):
        pm.point_to_mesh_distance(X, mesh, FACES)
    with pytest.raises(TypeError, match="vertices must be meshes or arrays of vertices, got both"):
        pm.point_to_mesh_distance([X, Y], [mesh, CORNERS])


def test_arrays_of_a_mesh_need_their_faces():
    for call in (lambda: pm.point_to_mesh_distance(X, CORNERS), lambda: pm.volumetric_iou(CORNERS, FACES)):
        with pytest.raises(TypeError, match=r"faces\w* must be given where vertices\w* are an array"):
            call()


@pytest.mark.parametrize("make", MESHES)
def test_a_mesh_in_the_place_of_points_is_its_vertices_and_that_is_said(make):
    with pytest.warns(
        UserWarning, match=r"y is an? \w+ \w+, and its vertices are taken for points; io.sample_mesh"
    ) as told:
        value = pm.chamfer_distance(X, make(CORNERS, FACES))
    assert value == pytest.approx(pm.chamfer_distance(X, CORNERS), rel=1e-6)
    assert [warning.filename for warning in told] == [__file__]


def test_faces_of_more_corners_are_cut_into_triangles():
    pv = library("pyvista")
    box = pv.Cube(bounds=(0, 1, 0, 1, 0, 1)).clean()  # six squares
    assert pm.volumetric_iou(box, box) == 1.0
    below = X - [0, 0, 2]
    assert pm.point_to_mesh_distance(below, box) == pytest.approx(-below[:, 2].mean())
    strip = pv.PolyData(CORNERS, strips=[4, 0, 1, 2, 3])
    # Two triangles, (0, 1, 2) and (1, 2, 3).
    expected = pm.point_to_mesh_distance(X, CORNERS, [[0, 1, 2], [1, 2, 3]])
    assert pm.point_to_mesh_distance(X, strip) == pytest.approx(expected)


def empties():
    o3d, trimesh, pv = library("open3d"), library("trimesh"), library("pyvista")
    return {
        "open3d PointCloud without points": o3d.geometry.PointCloud(),
        "open3d PointCloud without positions": o3d.t.geometry.PointCloud(),
        "open3d TriangleMesh without vertices": o3d.geometry.TriangleMesh(),
        "open3d TriangleMesh without positions": o3d.t.geometry.TriangleMesh(),
        "trimesh Trimesh without vertices": trimesh.Trimesh(),
        "trimesh PointCloud without vertices": trimesh.PointCloud(np.empty((0, 3))),
        "pyvista PolyData without points": pv.PolyData(),
    }


def test_what_is_empty_is_named():
    for kind, empty in empties().items():
        with pytest.raises(ValueError, match=f"y is empty: an? {kind}"):
            pm.chamfer_distance(X, empty)
        with pytest.raises(ValueError, match=rf"y\[1\] is empty: an? {kind}"):
            pm.chamfer_distance([X, X], [Y, empty])
        with pytest.raises(ValueError, match=f"vertices is (empty: )?an? {kind}"):
            pm.point_to_mesh_distance(X, empty)


@pytest.mark.parametrize("make", [open3d_cloud, open3d_tensor_cloud, trimesh_cloud, pyvista_cloud])
def test_a_cloud_in_the_place_of_a_mesh_is_refused(make):
    with pytest.raises(ValueError, match=r"vertices is an? \w+ \w+ without faces: a mesh is wanted"):
        pm.point_to_mesh_distance(X, make(Y))


def test_other_objects_and_paths_are_refused_with_the_way_out(tmp_path):
    for bad in ("scan.ply", tmp_path / "scan.ply"):
        with pytest.raises(
            TypeError, match=r"x must have shape .* got the \w+ .*scan.ply.*pointmetrics.io.read_points"
        ):
            pm.chamfer_distance(bad, Y)
    for bad, told in (
        (object(), "an object$"),
        (None, "None$"),
        ({"points": X}, "a dict$"),
        (library("trimesh").Scene(), r"a trimesh Scene: its to_mesh\(\) is one mesh of all its parts"),
    ):
        with pytest.raises(TypeError, match=f"x must have shape .* or be a cloud of Open3D.* got {told}"):
            pm.chamfer_distance(bad, Y)


def test_several_clouds_in_one_object_are_refused_with_the_way_out():
    pyvista = library("pyvista")
    blocks = pyvista.MultiBlock([pyvista.PolyData(X), pyvista.PolyData(Y)])
    for bad in (blocks, pyvista.MultiBlock([blocks[0]]), pyvista.MultiBlock()):
        with pytest.raises(TypeError, match=rf"x is a pyvista MultiBlock of {len(bad)}: .* its combine\(\)"):
            pm.chamfer_distance(bad, Y)
    assert pm.chamfer_distance(blocks.combine(), Y) == pm.chamfer_distance(np.concatenate([X, Y]), Y)


def test_rows_of_numbers_are_refused_with_the_way_out():
    column = X[:, 0]
    for one in (column, column.tolist()):
        with pytest.raises(ValueError, match=r"x must have .* got shape \(\d+,\): x\[:, None\] .* x\[None\]"):
            pm.chamfer_distance(one, column[:, None])
    assert pm.chamfer_distance(column[:, None], column[::-1, None]) == 0
    with pytest.raises(ValueError, match=r"got shape \(0,\)$"):
        pm.chamfer_distance([], Y)


def test_frames_with_a_column_called_points_are_frames():
    pd = library("pandas")
    frame = pd.DataFrame({"points": X[:, 0], "vertices": X[:, 1]})
    assert pm.chamfer_distance(frame, Y[:, :2]) == pm.chamfer_distance(X[:, :2], Y[:, :2])


class TestPyTorch3D:
    @pytest.fixture
    def torch(self):
        return library("torch")

    @pytest.fixture
    def batches(self, torch):
        x, y = [X[:30], X], [Y, Y[:20]]
        return x, y, *(Pointclouds(torch.from_numpy(cloud) for cloud in side) for side in (x, y))

    def test_a_batch_is_a_list(self, torch, batches):
        x, y, x_batch, y_batch = batches
        for function in (pm.chamfer_distance, pm.earth_movers_distance, pm.torch.chamfer_distance):
            value = function(x_batch, y_batch)
            assert isinstance(value, torch.Tensor) and value.shape == (2,)
            np.testing.assert_array_equal(value.numpy(), getattr(pm, function.__name__)(x, y))
        assert [len(n) for n in pm.nearest_neighbors(x_batch, y_batch).x_to_y.index] == [30, 40]
        matrix = pm.sets.pairwise_distances(x_batch, y_batch)
        np.testing.assert_array_equal(np.asarray(matrix), pm.sets.pairwise_distances(x, y))
        rows = pm.sklearn.CloudDistances(x_batch).fit_transform(y_batch)
        np.testing.assert_array_equal(rows, pm.sklearn.CloudDistances(x).fit_transform(y))

    def test_gradients_reach_the_tensors_within(self, torch, batches):
        x, y, _, y_batch = batches
        leaves = [torch.tensor(cloud, requires_grad=True) for cloud in x]
        pm.torch.chamfer_distance(Pointclouds(leaves), y_batch).sum().backward()
        _, (grads, _) = pm.chamfer_distance(x, y, return_grad=True)
        for leaf, grad in zip(leaves, grads, strict=True):
            np.testing.assert_array_equal(leaf.grad.numpy(), grad)
        with pytest.raises(ValueError, match=r"x\[0\] requires grad.*pointmetrics.torch"):
            pm.chamfer_distance(Pointclouds(leaves), y_batch)

    def test_meshes(self, torch, batches):
        x, _, x_batch, _ = batches
        meshes = Meshes([torch.tensor(CORNERS), torch.tensor(CORNERS + 1)], [torch.tensor(FACES)] * 2)
        expected = pm.point_to_mesh_distance(x, [CORNERS, CORNERS + 1], [FACES, FACES])
        np.testing.assert_array_equal(pm.point_to_mesh_distance(x_batch, meshes).numpy(), expected)
        with pytest.warns(UserWarning, match="vertices are taken for points"):
            assert pm.chamfer_distance(meshes, x_batch).shape == (2,)

    def test_a_batch_within_a_list_is_refused_unless_of_one(self, batches):
        _, y, x_batch, y_batch = batches
        with pytest.raises(ValueError, match=r"x\[0\] is a \w+ Pointclouds of 2 clouds: pass it by itself"):
            pm.chamfer_distance([x_batch, x_batch], y)
        assert len(pm.chamfer_distance([x_batch[0], x_batch[1]], y_batch)) == 2

    def test_an_empty_cloud_is_named(self, torch, batches):
        _, _, x_batch, y_batch = batches
        with pytest.raises(ValueError, match=r"y\[1\] is empty"):
            pm.chamfer_distance(x_batch, Pointclouds([y_batch.points_list()[0], torch.empty((0, 3))]))


def test_dask_takes_objects():
    library("dask")
    clouds = [X, Y]
    matrix = pm.dask.pairwise_distances([open3d_cloud(cloud) for cloud in clouds]).compute()
    np.testing.assert_array_equal(matrix, pm.sets.pairwise_distances(clouds))


def test_objects_of_any_class_do_and_nothing_is_imported():
    code = (
        "import json, sys, numpy as np, pointmetrics as pm\n"
        "class Cloud: points = np.eye(3)\n"
        "class Mesh: vertices, faces = np.eye(3), [[0, 1, 2]]\n"
        "pm.chamfer_distance(Cloud(), [Cloud.points] and Cloud()); pm.point_to_mesh_distance(Cloud(), Mesh())\n"
        "print(json.dumps(sorted({'open3d', 'trimesh', 'pyvista', 'pytorch3d', 'torch'} & set(sys.modules))))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(run.stdout) == []
