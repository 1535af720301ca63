"""Exercise an installed package end to end, with the extras river and cli; run from a folder without its source."""

import pickle
import subprocess
import sys
import sysconfig
import tempfile
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import numpy as np
from sklearn.ensemble import IsolationForest

import imondrian
import pointmetrics as pm
from imondrian import IsolationMondrianForest
from imondrian._kit.kernel_source import Instance, kernel_files
from imondrian.river import OnlineIsolationMondrianForest

source = Path(imondrian.__file__).resolve()
assert "site-packages" in source.parts, f"imported from {source}, not from an installation"
for package in (imondrian, pm):
    assert package.__version__ == version("imondrian")
    assert all((files(package) / name).is_file() for name in ("py.typed", "_core.pyi")), "the types were left behind"

X = np.random.default_rng(0).normal(size=(2000, 5))
X[0] = 9.0
forest = IsolationMondrianForest(n_jobs=2, random_state=0).fit(X)
assert forest.score_samples(X).argmin() == 0
again = pickle.loads(pickle.dumps(forest))
assert np.array_equal(again.score_samples(X), forest.score_samples(X))
forest.partial_fit(X[:100])
with tempfile.TemporaryDirectory() as folder:
    forest.save(Path(folder) / "forest")
    loaded = IsolationMondrianForest.load(Path(folder) / "forest")
assert np.array_equal(loaded.score_samples(X), forest.score_samples(X))
taken_over = IsolationForest(random_state=0).fit(X)
assert np.allclose(
    IsolationMondrianForest.from_isolation_forest(taken_over).score_samples(X),
    taken_over.score_samples(X),
    rtol=1e-13,
    atol=0,
)

model = OnlineIsolationMondrianForest(n_trees=25, seed=0)
for row in X[1:300]:
    model.learn_one(dict(enumerate(row)))
assert model.score_one(dict(enumerate(X[0]))) > model.score_one(dict(enumerate(X[300])))
x, y = np.random.default_rng(1).random((2, 300, 3))
distance = np.linalg.norm(x[:, None] - y[None], axis=2)
assert np.isclose(pm.chamfer_distance(x, y, convention="pcn"), (distance.min(1).mean() + distance.min(0).mean()) / 2)
certified = pm.earth_movers_distance(x, y, return_details=True)
assert certified.converged
assert np.isclose(distance[np.arange(300), certified.assignment].mean(), certified.lower)
for package, file in (("imondrian", "spacing"), ("pointmetrics", "nearest")):
    assert file in kernel_files(package)
    assert all("__global__" in Instance(package, file, np.dtype(np.float32)).source for file in kernel_files(package))
for program in ("imondrian", "pointmetrics"):
    for command in ([str(Path(sysconfig.get_path("scripts")) / program)], [sys.executable, "-m", program]):
        printed = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True).stdout
        assert version("imondrian") in printed, printed
print(f"imondrian {imondrian.__version__} works on Python {sys.version.split()[0]}, from {source.parent}")
