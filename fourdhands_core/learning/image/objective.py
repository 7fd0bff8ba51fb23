"""The image network over sequences, and its losses and errors against samples."""

from __future__ import annotations

import torch
from torch import nn

from ...hand_model.assets import HandAsset
from ...hand_model.layer import HandLayer
from ...hand_model.skeleton import LEFT, RIGHT
from ...network.image_config import ImageConfig
from ...network.image_model import ImageHands, ImageNetwork
from ...pipeline.image_regression import FOCAL
from ...runtime.crops import CROP_SIZE, MARGIN, SCALE, SHIFT
from ..kinematics import Kinematics
from ..losses import GroundTruth, Hands, LossWeights, objective

NEAR = 0.15
"""Distance of the wrists, metres, beyond which Eq. 9 counts for less."""


class TokenPoints(nn.Module):
    """Where each joint is in the crop, read off the backbone's tokens: a chance and an offset from each (integral regression,
    Sun et al. 2018).

    Training alone has it: as published backbones come from training on such points (ViTPose), one from nothing needs them
    before the hands' token tells anything.
    """

    def __init__(self, config: ImageConfig):
        super().__init__()
        self.centres: torch.Tensor
        self.patch = config.patch
        self.head = nn.Linear(config.width, 21 * 3)
        rows, columns = (torch.arange(count) + 0.5 for count in config.grid)
        centres = torch.stack(torch.meshgrid(columns + MARGIN / config.patch, rows, indexing="xy"), -1)
        self.register_buffer("centres", centres.flatten(0, 1), persistent=False)

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (N, S, 21) over the tokens (N, S, C), and the joints' positions (N, 21, 2) in patches of the square."""
        out = self.head(tokens).float().unflatten(-1, (21, 3))
        logits = out[..., 0]
        return logits, (logits.softmax(1)[..., None] * (self.centres[:, None] + out[..., 1:])).sum(1)

    def loss(self, logits: torch.Tensor, found: torch.Tensor, points: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Cross-entropy with a Gaussian of 0.7 patches, and L1 in patches, of the valid (N, 21) points (N, 21, 2) in pixels."""
        points = points / self.patch
        near = -(points[:, None] - self.centres[:, None]).square().sum(-1) / (2.0 * 0.7**2)
        chance = -(near.softmax(1) * logits.log_softmax(1)).sum(1)
        return torch.where(valid, chance + (found - points).abs().mean(-1), 0.0).sum() / valid.sum().clamp(min=1)


class SequenceNetwork(nn.Module):
    """Every frame's hands of B sequences of L frames, each from the window around it.

    As in a stream, a window that reaches past an end of the sequence is filled with its first or its newest frame.
    token_points: read as well, for the loss.
    """

    def __init__(self, network: ImageNetwork, token_points: TokenPoints | None = None):
        super().__init__()
        self.scale: torch.Tensor
        self.shift: torch.Tensor
        self.network, self.token_points = network, token_points
        self.register_buffer("scale", torch.from_numpy(SCALE), persistent=False)
        self.register_buffer("shift", torch.from_numpy(SHIFT), persistent=False)

    def forward(self, crops: torch.Tensor, squares: torch.Tensor, present: torch.Tensor) -> tuple[ImageHands, tuple | None]:
        """crops: (N, 256, 192, 3) uint8 of the hands that are present. squares: (B, L, 2, 4). present: (B, L, 2) bool.

        Returns the hands of B L frames, float32, and what `token_points` reads, None without.
        """
        batch, length = present.shape[:2]
        if not len(crops):  # frames without a hand: an empty crop stands for the tokens, all of which are masked
            crops = crops.new_zeros(1, CROP_SIZE, CROP_SIZE - 2 * MARGIN, 3)
        pixels = (crops * self.scale + self.shift).permute(0, 3, 1, 2).contiguous()
        features = self.network.backbone(pixels)
        tokens = self.network.hand_tokens(features, squares.flatten(0, 1), present.flatten(0, 1))
        tokens = tokens.unflatten(0, (batch, length)).transpose(1, 2)
        half = self.network.config.window // 2
        index = torch.arange(length, device=crops.device)[:, None] + torch.arange(-half, half + 1, device=crops.device)
        index = index.clamp(0, length - 1)
        windows = tokens[:, :, index].transpose(1, 2).flatten(0, 1)
        valid = present.transpose(1, 2)[:, :, index].transpose(1, 2).flatten(0, 1)
        hands = self.network.reason(windows, valid)
        hands = ImageHands(**{name: value.float() for name, value in vars(hands).items()})
        return hands, None if self.token_points is None else self.token_points(features)


def present_crops(batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """The crops (N, 256, 192, 3) of the hands that are there."""
    return batch["crops"].flatten(0, 2)[batch["present"].flatten()]


class ImageObjective(nn.Module):
    """The weighted terms of Eq. 6-10 for a batch, and what the network's joints are."""

    def __init__(self, config: ImageConfig, asset: HandAsset, weights: LossWeights):
        super().__init__()
        self.config, self.weights = config, weights
        self.meshes = weights.vertices > 0.0 or weights.close > 0.0
        self.layer = HandLayer(asset) if self.meshes else Kinematics(asset)

    def pose(self, rotations: torch.Tensor, betas: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor]:
        """Vertices (N, 2, 778, 3) and joints (N, 2, 21, 3) of hands in their own coordinates, metres around the wrist.

        No vertices where no loss compares them: the joints alone take a tenth of the time.
        """
        if not self.meshes:
            return None, self.layer(rotations, betas)
        vertices, joints = self.layer(rotations[:, :, 0].flatten(0, 1), rotations[:, :, 1:].flatten(0, 1), betas.flatten(0, 1))
        return vertices.unflatten(0, (-1, 2)), joints.unflatten(0, (-1, 2))

    def left_root(self, hands: ImageHands, joints: torch.Tensor, left_to_right: torch.Tensor) -> torch.Tensor:
        """The predicted left wrist minus the right wrist (N, 3) in the right hand's axes."""
        root = joints[:, :, self.config.root]
        return hands.left_root_relative - (left_to_right @ root[:, LEFT, :, None])[..., 0] + root[:, RIGHT]

    def project(self, joints: torch.Tensor, camera: torch.Tensor) -> torch.Tensor:
        """Joints in the crop (N, 2, 21, 2), its square from -1 to 1, of the crop's weak-perspective camera (Eq. 8)."""
        s, x, y = camera.unbind(-1)
        depth = 2.0 * FOCAL / (CROP_SIZE * s.clamp(min=0.1))
        around = joints - joints[:, :, self.config.root : self.config.root + 1]
        placed = around + torch.stack([x, y, depth], -1)[:, :, None]
        return FOCAL * placed[..., :2] / placed[..., 2:].clamp(min=0.1) / (CROP_SIZE / 2)

    def forward(self, hands: ImageHands, batch: dict[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """The terms by name, and the predicted joints (B L, 2, 21, 3). batch: Batches' tensors (B, L, ...)."""
        true = {name: value.flatten(0, 1) for name, value in batch.items() if name != "crops"}
        vertices, joints = self.pose(hands.rotations, hands.betas)
        with torch.no_grad():
            true_vertices, _ = self.pose(true["rotations"], true["betas"])
        turn = true["left_to_right"]

        def pair(points, left_root):
            if points is None:
                return None
            return torch.stack([points[:, LEFT] @ turn.transpose(-1, -2) + left_root[:, None], points[:, RIGHT]], 1)

        left_root = self.left_root(hands, joints, turn)
        points, pairs = self.project(joints, hands.camera), (pair(joints, left_root), pair(vertices, left_root))
        predicted = Hands(hands.rotations, hands.betas, joints, vertices, points, *pairs)
        truth = GroundTruth(
            true["rotations"],
            true["betas"],
            true["joints"],
            true_vertices,
            true["points"] / (CROP_SIZE / 2) - 1.0,
            pair(true["joints"], true["left_root"]),
            pair(true_vertices, true["left_root"]),
            present=true["present"],
            has_mano=true["has_mano"],
            has_vertices=true["has_mano"],
            joint_valid=true["joint_valid"],
            point_valid=true["point_valid"],
            related=true["related"],
            # hands a metre apart err by decimetres, which would drown everything else
            relation_weight=1.0 / (1.0 + (true["left_root"] / NEAR).square().sum(-1)),
        )
        return objective(predicted, truth, self.weights), joints
