"""Every script of the gallery runs on its own, and its pictures can be read: labelled, nothing cut off, not empty."""

import runpy
import sys

import numpy as np
import pytest
from doc_pages import ROOT

SCRIPTS = sorted((ROOT / "examples").glob("*.py"))

pytest.importorskip("matplotlib", reason="the gallery's scripts draw pictures")
pytest.importorskip("river", reason="some of the gallery's scripts follow streams")


def labelled(ax):
    if ax.get_label() == "<colorbar>":
        return bool(ax.get_ylabel() or ax.get_xlabel())
    if ax.name == "3d":
        return bool(ax.get_title())
    shared = ax.figure.get_supxlabel(), ax.figure.get_supylabel()
    inner = ax.get_subplotspec() is not None and not ax.get_subplotspec().is_last_row()
    return bool(ax.get_xlabel() or shared[0] or inner) and bool(
        ax.get_ylabel() or shared[1] or not ax.get_subplotspec().is_first_col() or has_names(ax))


def has_names(ax):
    """Whether the vertical axis bears names, not numbers."""
    return any(label.get_text().strip("-\N{MINUS SIGN}.0123456789 ") for label in ax.get_yticklabels())


def cut_off(figure):
    """Return the texts that reach beyond the picture."""
    import matplotlib.text

    renderer = figure.canvas.get_renderer()
    width, height = figure.canvas.get_width_height()
    found = []
    for text in figure.findobj(matplotlib.text.Text):
        if text.get_visible() and text.get_text().strip() and text.axes is not None and text.axes.name != "3d":
            box = text.get_window_extent(renderer)
            # A tick label beyond the limits of its axis is there, but not drawn.
            if box.width and not (box.x0 > -1 and box.y0 > -1 and box.x1 < width + 1 and box.y1 < height + 1):
                found.append(text.get_text())
    return found


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_the_script_draws_pictures_that_can_be_read(path, monkeypatch, tmp_path):
    import matplotlib.pyplot as plt

    plt.close("all")
    plt.switch_backend("Agg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IMONDRIAN_DATA", raising=False)
    monkeypatch.setattr(sys, "argv", [str(path), str(tmp_path)])
    monkeypatch.setattr(plt, "show", lambda *args, **kwargs: None)
    try:
        runpy.run_path(str(path), run_name="__main__")
        figures = [plt.figure(number) for number in plt.get_fignums()]
        assert figures
        for figure in figures:
            figure.canvas.draw()
            assert all(labelled(ax) for ax in figure.axes)
            assert not cut_off(figure)
            picture = np.asarray(figure.canvas.buffer_rgba())[..., :3]
            assert (picture != 255).any(axis=2).mean() > 0.02
    finally:
        plt.close("all")


def test_the_scripts_are_in_the_gallery_in_an_order_of_their_own():
    sys.path.insert(0, str(ROOT / "docs" / "_ext"))
    from gallery_scripts import ORDER

    assert set(ORDER) == {path.stem for path in SCRIPTS}
