"""The ablation's table in Markdown and its plot, beside the paper's figures."""

from __future__ import annotations

from pathlib import Path

_TITLES = {"mpjpe": "MPJPE, mm", "mpvpe": "MPVPE, mm", "mrrpe": "MRRPE, mm", "accel": "Accel, mm/frame²"}


def _cell(figure: dict) -> str:
    spread = "" if figure["spread"] is None else f" ± {figure['spread']:.2f}"
    return f"{figure['mean']:.2f}{spread}"


def markdown(result: dict) -> str:
    """One table a condition; mean and standard deviation over the seeds."""
    settings = result["settings"]
    lines = [
        f"Mean ± standard deviation over {settings['seeds']} seeds, {settings['single_steps']} + {settings['clip_steps']} "
        "steps each, on synthetic landmarks; the paper's figures are of images of InterHand2.6M.",
        "",
    ]
    for name, text in result["conditions"].items():
        lines += [
            f"**{name}**: {text}",
            "",
            "| row | " + " | ".join(_TITLES.values()) + " | paper: MPJPE / MPVPE / MRRPE |",
            "|---|" + "---|" * (len(_TITLES) + 1),
        ]
        for row, entry in result["rows"].items():
            paper = " / ".join(f"{value:.2f}" for value in entry["paper"]) if entry["paper"] else ""
            lines.append(f"| {row} | " + " | ".join(_cell(entry[name][metric]) for metric in _TITLES) + f" | {paper} |")
        lines.append("")
    return "\n".join(lines)


def plot(result: dict, path: Path) -> None:
    """Bars of every row by condition, a panel a metric, with the spread; the paper's figures as lines."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.4), layout="constrained")
    rows, metrics = list(result["rows"]), ("mpjpe", "mrrpe", "accel")
    for axes, metric in zip(figure.subplots(1, 3), metrics):
        for k, row in enumerate(rows):
            entry = result["rows"][row]
            places = [c + (k - (len(rows) - 1) / 2) * 0.13 for c in range(len(result["conditions"]))]
            figures = [entry[name][metric] for name in result["conditions"]]
            spreads = [each["spread"] or 0.0 for each in figures]
            axes.bar(places, [each["mean"] for each in figures], 0.12, label=row, yerr=spreads, color=f"C{k}")
        axes.set_xticks(range(len(result["conditions"])), list(result["conditions"]))
        axes.set_title(_TITLES[metric], fontsize=10)
        if metric == "mrrpe":
            axes.set_yscale("log")
        axes.grid(axis="y", alpha=0.3)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=len(rows), fontsize=8, frameon=False)
    figure.savefig(path, dpi=90)
