"""What every figure shares: colours, style, the figure itself and its file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tagix._optional import import_optional

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

DATA_COLOR = "#52606d"
SAMPLE_COLOR = "#c2410c"
VAR_COLOR = "#1d4ed8"
BAND_COLOR = "#cbd2d9"
# Of several classes, methods or runs in one figure, in this order.
SERIES_COLORS = (
    SAMPLE_COLOR,
    VAR_COLOR,
    "#15803d",
    "#a21caf",
    "#0891b2",
    "#ca8a04",
    "#9f1239",
    "#65a30d",
)
SERIES_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
# A logarithmic scale says nothing of a range narrower than this.
LOG_SCALE_RATIO = 10.0
_STYLE = {
    "font.size": 10.0,
    "axes.titlesize": 11.0,
    "axes.edgecolor": "#9aa5b1",
    "axes.labelcolor": "#323f4b",
    "axes.linewidth": 0.8,
    "xtick.color": "#616e7c",
    "ytick.color": "#616e7c",
    "grid.color": "#e4e7eb",
    "grid.linewidth": 0.8,
}


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure as a PNG file of 150 dots per inch and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, format="png")
    return path


def style() -> Any:
    """A context in which matplotlib draws as the figures here do."""
    return import_optional("matplotlib").rc_context(_STYLE)


def empty_figure(*, width: float, height: float) -> Figure:
    """A figure of that size in inches, which lays out whatever axes it is given."""
    matplotlib_figure = import_optional("matplotlib.figure")
    engine = import_optional("matplotlib.layout_engine").ConstrainedLayoutEngine(
        w_pad=0.1, h_pad=0.1
    )
    figure: Figure = matplotlib_figure.Figure(figsize=(width, height), layout=engine)
    return figure


def new_figure(
    rows: int, columns: int, *, width: float, height: float, **subplots: Any
) -> tuple[Figure, Any]:
    """A figure of that size in inches, and its axes as Figure.subplots returns them."""
    figure = empty_figure(width=width, height=height)
    return figure, figure.subplots(rows, columns, **subplots)


def plain_axes(axes: Axes) -> None:
    """A grid behind the curves, and no frame above and to the right of them."""
    axes.grid(visible=True)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def log_ticks(axis: Axis) -> None:
    """Plain numbers at 1, 2 and 5 times the powers of 10, for a logarithmic axis."""
    ticker = import_optional("matplotlib.ticker")
    axis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(ticker.NullFormatter())


def series_style(i: int) -> dict[str, Any]:
    """Colour and marker of the i-th of several curves in one panel."""
    return {
        "color": SERIES_COLORS[i % len(SERIES_COLORS)],
        "marker": SERIES_MARKERS[i % len(SERIES_MARKERS)],
    }


def unit_square(axes: Axes) -> None:
    """Plain axes, both from 0 to 1, of one scale, with the diagonal dashed."""
    axes.plot([0.0, 1.0], [0.0, 1.0], color=DATA_COLOR, linestyle="--", linewidth=1.2, zorder=2.5)
    axes.set_xlim(0.0, 1.0)
    axes.set_ylim(0.0, 1.0)
    axes.set_aspect("equal")
    plain_axes(axes)
