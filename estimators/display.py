"""A sparsity path as a matplotlib figure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .curves import curve_names, style_of
from .parameters import WAYS

if TYPE_CHECKING:
    from typing import Self

    import pandas as pd
    from numpy.typing import ArrayLike

    from .base import BasePrunedClassifier


class SparsityPathDisplay:
    """Accuracy against sparsity, in the manner of scikit-learn's display objects. Needs matplotlib.

    Parameters
    ----------
    frame : DataFrame
        Results, as in ``sparsity_path(...).frame`` or as written by ``prunelab sweep --csv``.

    Attributes
    ----------
    ax_, figure_, lines_
        The matplotlib objects, after `plot`.
    """

    def __init__(self, frame: pd.DataFrame):
        self.frame = frame

    @classmethod
    def from_estimator(
        cls,
        estimator: BasePrunedClassifier,
        X: ArrayLike,
        y: ArrayLike,
        *,
        X_test: ArrayLike,
        y_test: ArrayLike,
        ax: Any = None,
        **path_parameters: Any,
    ) -> Self:
        """Compute a path with `sparsity_path` and plot it."""
        from .path import sparsity_path

        path = sparsity_path(estimator, X, y, X_test=X_test, y_test=y_test, **path_parameters)
        return cls(path.frame).plot(ax=ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw one line for each way of pruning: the mean over seeds, with a 95 % interval if several.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Drawn on a new figure if absent.

        Returns
        -------
        self
        """
        from sklearn.utils._optional_dependencies import check_matplotlib_support

        from .studies.statistics import summarise

        check_matplotlib_support(f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt

        if ax is None:
            _, ax = plt.subplots()
        self.lines_ = []
        summary = summarise(self.frame)
        ways = [name for name in WAYS if name in summary]
        points: list[dict[str, Any]] = summary[ways].to_dict("records")  # type: ignore[assignment]
        for place, (name, way) in enumerate(summary.groupby(curve_names(points, ways), sort=False)):
            style = style_of(place)
            (line,) = ax.plot(way["sparsity"], way["accuracy"], color=style.hex_colour, label=name, **style.marker)
            if way["seeds"].max() > 1:
                ax.fill_between(way["sparsity"], way["low"], way["high"], color=line.get_color(), alpha=0.2)
            self.lines_.append(line)
        ax.set(xlabel="Sparsity (fraction removed)", ylabel="Accuracy", xlim=(0, 1))
        ax.legend()
        self.ax_, self.figure_ = ax, ax.figure
        return self
