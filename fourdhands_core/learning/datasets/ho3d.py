"""HO3D (Hampali et al., CVPR 2020), versions 2 and 3: a right hand with an object, in H2O3D's manner.

Source: shreyashampali/ho3d (README.md: files, versions; vis_HO3D.py: keys, order of joints, pose from the flat hand;
utils/vis_utils.py: OpenGL's axes; eval.py: the evaluation's joints). Not documented: the frame rate, taken for the cameras'
usual 30 a second, and the axes of the evaluation's joints and vertices, taken for those in which the challenge wants
predictions, OpenGL's.

    ROOT/{train,evaluation}.txt                       "sequence/0000" a line
    ROOT/{train,evaluation}/SEQUENCE/rgb/0000.png     version 2; 0000.jpg in version 3
    ROOT/{train,evaluation}/SEQUENCE/meta/0000.pkl    camMat, hand{Pose,Beta,Trans,Joints3D}; evaluation: the wrist alone
                                                      and handBoundingBox
    ROOT/evaluation_{xyz,verts}.json                  one entry a line of evaluation.txt; came out when the challenge ended
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...errors import DatasetError
from ...geometry.camera import Camera
from ...hand_model.skeleton import RIGHT
from .files import JsonRows
from .frames import DatasetFrame, HandTruth
from .h2o3d import FROM_OPENGL, H2o3d
from .joint_orders import MANO_WITH_TIPS
from .mano import ManoTruth


class Ho3d(H2o3d):
    """Frames of sequences with a right hand; frames left out of the list part a sequence in two.

    In split "evaluation" the box and the wrist alone are known, with evaluation_xyz.json the joints and with
    evaluation_verts.json the vertices.
    """

    name = "HO3D"
    frame_rate = 30.0

    def _open(self) -> None:
        super()._open()
        self._late = {
            what: JsonRows(path)
            for what in ("xyz", "verts")
            if self.split == "evaluation" and (path := self.root / f"evaluation_{what}.json").is_file()
        }
        for what, rows in self._late.items():
            if len(rows) != len(self):
                raise DatasetError(
                    f"{self.root}: evaluation_{what}.json has {len(rows)} entries, evaluation.txt {len(self)} "
                    "lines; take both from one version of HO3D"
                )
        self._sequences = dict(self._runs())

    def _runs(self):
        """(name, indices) of the frames that follow one another without a gap."""
        for name, indices in self._sequences.items():
            numbers = np.array([int(self._frames[index][1]) for index in indices])
            for run in np.split(np.arange(len(indices)), np.flatnonzero(np.diff(numbers) != 1) + 1):
                first = self._frames[indices[run[0]]][1]
                yield (name if run[0] == 0 else f"{name} from {first}"), [indices[k] for k in run]

    def _statement(self) -> ManoTruth:
        return ManoTruth(self.hands, flat=True)

    def _meta(self, sequence, frame):
        meta = super()._meta(sequence, frame)
        keys = ("handPose", "handTrans", "handJoints3D", "handBoundingBox")
        return {**meta, **{f"right{key[0].upper()}{key[1:]}": meta[key] for key in keys if key in meta}}

    def __getitem__(self, index: int) -> DatasetFrame:
        frame = super().__getitem__(index)
        if not self._late or frame.hands[RIGHT] is None:
            return frame
        return replace(frame, hands=(None, self._published(index, frame.hands[RIGHT], frame.camera)))

    def _published(self, index: int, wrist: HandTruth, camera: Camera) -> HandTruth:
        """The evaluation's hand with what came out later."""
        joints, points, vertices = wrist.joints, wrist.points, None
        if "xyz" in self._late:
            joints = np.array(self._late["xyz"][index], np.float64).reshape(21, 3)[MANO_WITH_TIPS] @ FROM_OPENGL
            points = camera.project(joints)
        if "verts" in self._late:
            vertices = np.array(self._late["verts"][index], np.float64).reshape(778, 3) @ FROM_OPENGL
        return HandTruth(wrist.box, points, joints, vertices=vertices)
