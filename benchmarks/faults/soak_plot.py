"""The picture of a soak: the node's memory and the faults over time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt


def plot_soak(path: Path, memory: Sequence[tuple[float, float]], faults: Sequence[tuple[float, str, bool]]) -> None:
    """Write a small PNG.

    Args:
        path: File to write.
        memory: (minute, resident memory [MB]).
        faults: (minute, name, whether it was handled).
    """
    figure, (above, below) = plt.subplots(2, 1, figsize=(8, 4), sharex=True, height_ratios=(2, 1), layout="constrained")
    above.plot([at for at, _ in memory], [size for _, size in memory], color="tab:blue", linewidth=1)
    above.set_ylabel("node's memory [MB]")
    above.margins(y=0.5)
    for good, color, label in ((True, "tab:green", "handled"), (False, "tab:red", "not handled")):
        times = [at for at, _, handled in faults if handled is good]
        below.eventplot(times, colors=color, linewidths=0.7, label=f"{label}: {len(times)}")
    below.set_yticks([])
    below.set_ylabel("faults")
    below.set_xlabel("time [min]")
    below.legend(loc="upper right", fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)
    plt.close(figure)
