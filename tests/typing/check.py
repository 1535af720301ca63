"""Check user_script.py with ``mypy --strict`` against the packages as installed: typed, and not looked into.

    python tests/typing/check.py

mypy cannot follow editable installations, and checks folders of sources as strictly as the script. So the packages'
files are copied to where an interpreter has its installed packages.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("imondrian", "pointmetrics")


def check(script: Path, root: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Return what mypy says of ``script``."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, symlinks=True)
        places = {"base": folder, "platbase": folder}
        site = Path(sysconfig.get_path("purelib", "venv", places))
        for package in PACKAGES:
            shutil.copytree(
                root / package, site / package, ignore=shutil.ignore_patterns("*.so", "native", "__pycache__")
            )
        (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
        python = Path(sysconfig.get_path("scripts", "venv", places)) / "python"
        return subprocess.run(
            [
                sys.executable,
                "-m",
                "mypy",
                "--strict",
                "--config-file=",
                f"--cache-dir={root / '.mypy_cache' / 'user'}",
                "--python-executable",
                str(python),
                str(script),
            ],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )


if __name__ == "__main__":
    done = check(Path(__file__).with_name("user_script.py"))
    print(done.stdout + done.stderr, end="")
    sys.exit(done.returncode)
