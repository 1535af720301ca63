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
        ax.get_ylabel() or shared[1] or not ax.get_subplotspec().is_first_col() or has_names(ax)
    )


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


# -- what the scripts' texts say of their pictures -----------------------------------------------------------


def alarms_keep_their_rate(names):
    assert abs(names["alarms"].mean() - names["RATE"]) < 0.01


def events_are_called_and_the_drift_is_not(names):
    alarms = np.array(names["alarms"])
    assert all(alarms[list(scans)].sum() >= 4 for scans in names["EVENTS"].values())
    assert alarms[~names["happening"]].mean() < 0.04
    drift = np.array(names["drift"])[~names["happening"]]
    assert np.mean(drift[-100:]) > 3 * np.mean(drift[:100])


def usual_rows_keep_the_promise(names):
    at = np.searchsorted(names["level"], 0.05)
    assert names["band"][0][at] <= (names["usual"] <= names["level"][at]).mean() <= names["band"][1][at]
    assert (names["shifted"] <= 0.05).mean() > 0.5


def the_odd_point_is_alone_first(names):
    assert names["alone"].argmin() == names["ODD"] and names["alone"][names["ODD"]] < 0.2 * np.median(names["alone"])


def the_reference_has_the_tail(names):
    forth, back = names["pm"].nearest_neighbors(names["scan"], names["reference"])
    assert back.distance.max() > 4 * forth.distance.max()


def the_clouds_change_places(names):
    import pointmetrics as pm

    noisy, capped = (
        pm.f_score(names[name], names["reference"], threshold=[0.02, 0.06]) for name in ("noisy", "capped")
    )
    assert noisy[0] < capped[0] and noisy[1] > capped[1]


CLAIMS = {
    "score_timeline": alarms_keep_their_rate,
    "lidar_stream": events_are_called_and_the_drift_is_not,
    "p_values": usual_rows_keep_the_promise,
    "mondrian_process": the_odd_point_is_alone_first,
    "error_clouds": the_reference_has_the_tail,
    "f_score_curve": the_clouds_change_places,
}


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
        names = runpy.run_path(str(path), run_name="__main__")
        figures = [plt.figure(number) for number in plt.get_fignums()]
        assert figures
        for figure in figures:
            figure.canvas.draw()
            assert all(labelled(ax) for ax in figure.axes)
            assert not cut_off(figure)
            picture = np.asarray(figure.canvas.buffer_rgba())[..., :3]
            assert (picture != 255).any(axis=2).mean() > 0.02
        CLAIMS.get(path.stem, lambda names: None)(names)
    finally:
        plt.close("all")


def test_the_gallery_orders_scripts_that_exist_and_puts_others_last(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs" / "_ext")
    from gallery_scripts import ORDER, Order

    assert set(ORDER) <= {path.stem for path in SCRIPTS}
    names = ["zebra.py", *(f"{name}.py" for name in reversed(ORDER)), "aardvark.py"]
    assert sorted(names, key=Order("")) == [*(f"{name}.py" for name in ORDER), "aardvark.py", "zebra.py"]
