"""The precision-recall curve as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from genstore.errors import MissingDependency, StorageFull

if TYPE_CHECKING:
    from genstore.dedup.calibrate import Calibration


def draw_curve(found: Calibration, path: Path, title: str) -> None:
    """Write a PNG: precision over recall, and both over the threshold, with the chosen point."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingDependency('a plot needs matplotlib; pip install "genstore[plot]"') from error
    figure = Figure(figsize=(9, 4), dpi=120, layout="constrained")
    by_recall, by_threshold = figure.subplots(1, 2)
    recall = [point.recall for point in found.curve]
    precision = [point.precision for point in found.curve]
    thresholds = [point.threshold for point in found.curve]
    by_recall.plot(recall, precision, color="tab:blue")
    by_recall.axhline(found.wanted, color="gray", linewidth=0.8, linestyle="--")
    by_recall.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    by_threshold.plot(thresholds, precision, color="tab:blue", label="precision")
    by_threshold.plot(thresholds, recall, color="tab:orange", label="recall")
    by_threshold.set(xlabel="threshold", xlim=(min(thresholds, default=0), 1), ylim=(0, 1.02))
    if (chosen := found.chosen) is not None:
        by_recall.plot(chosen.recall, chosen.precision, "o", color="tab:red")
        by_threshold.axvline(chosen.threshold, color="tab:red", linewidth=0.8, label=f"chosen: {chosen.threshold:.3f}")
    by_threshold.legend(loc="lower left", frameon=False)
    for axes in (by_recall, by_threshold):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"{title}: {found.duplicates:,} duplicates among {found.pairs:,} pairs")
    try:
        figure.savefig(path, format="png")
    except OSError as error:
        raise StorageFull(f"cannot write {path}: {error.strerror}") from error
