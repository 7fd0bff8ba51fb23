"""The figures of the paper's Tables 1 to 4: its own and those of the methods it compares with."""

from __future__ import annotations

from dataclasses import dataclass

OURS_IN_PAPER = "4DHands (paper)"


@dataclass(frozen=True)
class Column:
    """A column of a table: its title as printed, the metric of learning.scores.UNITS, a factor, decimals."""

    title: str
    metric: str
    factor: float = 1.0
    decimals: int = 2


@dataclass(frozen=True)
class Table:
    """A table of the paper, section 4.5. rows: (method, figures in the order of `columns`, None where the paper has none).
    pairs_only: it is of frames with both hands. mesh_joints: its joints are those that MANO's regressor makes of the meshes,
    as in the evaluation that the paper follows (Scores.add).
    """

    number: int
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, tuple[float | None, ...]], ...]
    pairs_only: bool = False
    mesh_joints: bool = False


_MPJPE, _MPVPE = Column("MPJPE mm", "mpjpe_scaled"), Column("MPVPE mm", "mpvpe_scaled")
_MRRPE = Column("MRRPE mm", "mrrpe")

TABLES = {
    # the paper's unit of Accel_E is mm/s^2; the metric it names (VIBE's) counts in frames, learning.metrics says more
    "InterHand2.6M-30fps": Table(
        1,
        "InterHand2.6M, 30 fps",
        (Column("Accel_E mm/frame^2", "accel"), _MPJPE, _MPVPE),
        (("SeqHand", (6.69, 18.20, 19.46)), ("Zhao et al.", (3.70, 13.45, 13.91)), (OURS_IN_PAPER, (2.81, 7.37, 7.58))),
        mesh_joints=True,
    ),
    "InterHand2.6M": Table(
        2,
        "InterHand2.6M, 5 fps",
        (_MPJPE, _MPVPE, _MRRPE),
        (
            ("InterWild", (11.12, 13.01, 29.29)),
            ("IntagHand", (8.79, 9.03, None)),
            ("MEMAHand", (8.65, 8.89, None)),
            ("ACR", (8.41, 8.53, None)),
            ("Zuo et al.", (8.34, 8.51, None)),
            ("Ren et al.", (7.51, 7.72, 28.98)),
            (OURS_IN_PAPER, (7.49, 7.72, 24.58)),
        ),
        mesh_joints=True,
    ),
    "DexYCB": Table(
        3,
        "DexYCB",
        (
            Column("R-MPJPE mm", "mpjpe"),
            Column("R-JAUC %", "auc", 100.0, 1),
            Column("P-MPJPE mm", "pa_mpjpe"),
            Column("P-JAUC %", "pa_auc", 100.0, 1),
        ),
        (
            ("VIBE", (16.95, 67.5, 6.43, 87.1)),
            ("TCMR", (16.03, 70.1, 6.28, 87.5)),
            ("Tu et al.", (19.67, 62.5, 7.27, 85.5)),
            ("MeshGraphormer", (16.21, 69.1, 6.41, 87.2)),
            ("Deformer", (13.64, 74.0, 5.22, 89.6)),
            (OURS_IN_PAPER, (8.37, 83.4, 4.75, 90.4)),
        ),
    ),
    "HIC": Table(
        4,
        "HIC",
        (_MPJPE, _MPVPE, _MRRPE),
        (("IntagHand", (20.38, 21.56, 73.04)), ("InterWild", (15.62, 15.17, 26.43)), (OURS_IN_PAPER, (9.32, 9.93, 25.26))),
        pairs_only=True,
        mesh_joints=True,
    ),
}
"""By the dataset's name in learning.datasets.registry."""

ALL_COLUMNS = (
    Column("MPJPE mm", "mpjpe"),
    Column("scaled MPJPE mm", "mpjpe_scaled"),
    Column("PA-MPJPE mm", "pa_mpjpe"),
    Column("MPVPE mm", "mpvpe"),
    Column("scaled MPVPE mm", "mpvpe_scaled"),
    Column("AUC %", "auc", 100.0, 1),
    Column("MRRPE mm", "mrrpe"),
    Column("Accel_E mm/frame^2", "accel"),
    Column("wrist mm", "wrist"),
    Column("wrist deg", "wrist_rotation"),
    Column("2-D % of box", "points"),
)
"""What is printed of every dataset, with a table of the paper or without."""
