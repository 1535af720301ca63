"""The benchmarks' helpers are scripts beside the package, not part of it: make them importable."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))
