"""Sphinx: `make docs` builds the site into docs/_build/html, and fetches nothing for it."""

import sys
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

import imondrian  # noqa: E402

project = "imondrian and pointmetrics"
author = copyright = "The imondrian developers"
version = release = imondrian.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    # our own, in _ext
    "conventions_table",
    "mathml",
    "module_pages",
]
exclude_patterns = ["_build", "gallery/GALLERY_HEADER.rst"]
nitpicky = True

myst_enable_extensions = ["dollarmath", "deflist", "attrs_inline"]
myst_heading_anchors = 4

# Docstrings name types in words, for people; signatures show names and defaults only.
autodoc_typehints = "none"
autodoc_member_order = "bysource"
# Modules that import these when they are imported themselves are described where they are not installed, too.
OPTIONAL = ("torch", "dask", "distributed", "pyspark")
autodoc_mock_imports = [name for name in OPTIONAL if find_spec(name) is None]
autosummary_generate = False
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "within_subsection_order": "gallery_scripts.Order",
    "reset_argv": "gallery_scripts.arguments",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,
    "min_reported_time": 1e9,
    "image_srcset": ["2x"],
    # Names in the scripts link to the reference, and the reference shows what uses them.
    "doc_module": ("imondrian", "pointmetrics"),
    "reference_url": {"imondrian": None, "pointmetrics": None},
    "backreferences_dir": "gallery/backreferences",
}

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "furo"
html_title = project
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}
