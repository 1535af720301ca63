"""The recipe for Spark, in a local session: the scores of one machine."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from imondrian import IsolationMondrianForest

pd = pytest.importorskip("pandas", reason="needs pandas")
pytest.importorskip("pyarrow", reason="needs pyarrow: pip install 'imondrian[spark-test]'")

FEATURES = ["a", "b", "c"]
HERE = Path(__file__).resolve().parent
RECIPE = HERE.parents[1] / "docs" / "guide" / "spark_scoring.py"
OLDEST_JAVA = 17


def missing():
    """Return what is missing to run Spark; None if nothing is."""
    if not RECIPE.exists():
        return f"needs {RECIPE.name}, which only the repository has"
    try:
        import pyspark  # noqa: F401
    except ImportError:
        return "needs pyspark: pip install 'imondrian[spark-test]'"
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=os.path.join(home, "bin") if home else None)
    if java is None:
        return "needs a Java runtime"
    told = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(?:1\.)?(\d+)', told)
    if version is None or int(version[1]) < OLDEST_JAVA:
        return f"needs Java {OLDEST_JAVA} or later, found {told.splitlines()[:1]}"
    return None


def make_rows(n=3000):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(n, 3)), columns=FEATURES)
    frame["c"] = (10 * frame["c"]).astype(np.int64)
    frame.loc[::7, "b"] = None
    frame.insert(1, "key", [f"row {i}" for i in range(n)])
    return frame


@pytest.fixture(scope="module")
def spark_run(tmp_path_factory):
    """What the recipe made of the rows, in a process of its own; the rows; the forests."""
    if reason := missing():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("spark")
    frame = make_rows()
    frame.to_parquet(folder / "rows.parquet")
    rows = frame[FEATURES].astype(float)
    forests = {}
    for name, given in (("named", rows), ("plain", rows.to_numpy())):
        forests[name] = IsolationMondrianForest(10, max_samples=64, random_state=0, contamination=0.05).fit(given)
        forests[name].save(folder / f"{name}.imf")
    environment = {**os.environ, "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    done = subprocess.run(
        [sys.executable, HERE / "spark_runner.py", RECIPE, folder],
        env=environment,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return {name: pd.read_parquet(folder / f"{name}.parquet") for name in ("named", "plain", "nothing")}, frame, forests


@pytest.mark.parametrize("name", ["named", "plain"])
def test_scores_are_those_of_one_machine(spark_run, name):
    results, frame, forests = spark_run
    rows = frame[FEATURES].astype(float)
    given = rows if name == "named" else rows.to_numpy()
    found = results[name].set_index("key").loc[frame["key"]]
    np.testing.assert_array_equal(found["score"], forests[name].score_samples(given))
    np.testing.assert_array_equal(found["p_value"], forests[name].p_values(given))
    np.testing.assert_array_equal(found["label"], forests[name].predict(given))
    np.testing.assert_array_equal(found[FEATURES], frame[FEATURES])


def test_no_rows_give_no_scores(spark_run):
    nothing = spark_run[0]["nothing"]
    assert len(nothing) == 0
    assert nothing.columns.tolist() == ["a", "key", "b", "c", "score", "p_value", "label"]
