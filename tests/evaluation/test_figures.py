"""What the figures show, where it is more than drawing."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from evaluation.agreement import Agreement
from evaluation.report.figures.agreement import matrices
from evaluation.report.figures.style import BLUE, DIVERGING, GREY, ORANGE, PALE, bars, mark_cut, styled
from evaluation.shape import Estimate


def pair(a: str, b: str, kind: str) -> Agreement:
    return Agreement(a, b, kind, 12, Estimate(0.5, 0.1, 0.9), Estimate(0.4, 0.0, 0.8), "")


def test_profiles_that_are_compared_share_a_matrix() -> None:
    found = [pair("math", "code", "task"), pair("x", "y", "model"), pair("code", "alfworld", "task")]
    seeds = [pair("math 0", "math 1", "seed"), pair("code 0", "code 1", "seed")]
    names = [set(names) for names, _ in matrices([*seeds, *found])]
    assert names == [{"math", "code", "alfworld"}, {"x", "y"}, {"math 0", "math 1"}, {"code 0", "code 1"}]
    assert [len(pairs) for _, pairs in matrices(found)] == [2, 1]
    assert matrices([]) == []


def test_bars_are_never_negative() -> None:
    value, low, high = np.array([1.0, 2.0]), np.array([0.5, 2.5]), np.array([2.0, 3.0])
    assert bars(value, low, high).tolist() == [[0.5, 0.0], [1.0, 1.0]]


def test_an_interval_that_goes_on_beyond_the_axis_is_marked_there() -> None:
    axis = Figure().subplots()
    axis.set_ylim(-1.0, 2.0)
    mark_cut(axis, np.array([0.0, 0.5, 1.0]), np.array([-3.0, 0.0, -1.0]), np.array([3.0, 2.0, 1.0]), BLUE)
    marks = {line.get_marker(): [*line.get_xdata(), *line.get_ydata()] for line in axis.lines}  # type: ignore[misc]
    assert marks == {"v": [0.0, -1.0], "^": [0.0, 2.0]}


def test_figures_leave_matplotlibs_own_rules_alone(tmp_path: Path) -> None:
    before = matplotlib.rcParams["legend.frameon"]
    seen = []
    styled(lambda view, path: seen.append(matplotlib.rcParams["legend.frameon"]) or True)(None, tmp_path)  # type: ignore
    assert seen == [False] and matplotlib.rcParams["legend.frameon"] == before


# Machado, Oliveira and Fernandes (2009), severity 1.0, for linear RGB.
BLINDNESS = {
    "none": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def lab(colour: object, kind: str) -> np.ndarray:
    """CIE L*a*b* (D65) of a colour as someone with that colour vision sees it."""
    rgb = np.array(to_rgb(colour))  # type: ignore[arg-type]
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.array(BLINDNESS[kind]) @ linear, 0, 1)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    x, y, z = np.cbrt(np.array(to_xyz) @ linear / [0.9505, 1.0, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("kind", BLINDNESS)
def test_colours_are_told_apart_by_every_kind_of_colour_vision(kind: str) -> None:
    """A difference of 2.3 in L*a*b* is just noticeable; these differ by about ten times that."""
    for a, b in ((BLUE, ORANGE), (BLUE, GREY), (BLUE, PALE), (ORANGE, PALE), (ORANGE, GREY)):
        assert np.linalg.norm(lab(a, kind) - lab(b, kind)) > 20, (a, b)
    steps = [DIVERGING(x) for x in (0.1, 0.3, 0.5, 0.7, 0.9)]
    for a, b in pairwise(steps):
        assert np.linalg.norm(lab(a, kind) - lab(b, kind)) > 10
