"""`fourdhands benchmark`: speed and memory on this machine."""

from __future__ import annotations

import argparse

from ..errors import DependencyError, InputError
from . import COUNT, FILE, Commands, add_command, add_settings, check_out, refuse_options, ros_side, tell, tracker_settings


def add(commands: Commands) -> None:
    """Its arguments."""
    command = add_command(commands, "benchmark", benchmark, "measure latency by stage, throughput and memory on this machine")
    command.usage = "fourdhands benchmark [options] (VIDEO | ros VIDEO | --backbone SIZE)"
    command.add_argument(
        "video",
        nargs="*",
        metavar="VIDEO",
        help="run the whole tracker on this video, publish what it finds where ROS 2 is installed, and run its network alone "
        "beside the window recomputed; after the word `ros`: publishing beside message objects, and the age of HandPair in "
        "another process, by stage, with 1, 2 and 4 cameras that play it",
    )
    command.add_argument(
        "--backbone",
        choices=("S", "B", "L", "H"),
        metavar="SIZE",
        help="the image network alone, untrained, with a ViT of this size (S, B, L, H; the paper's is H), "
        "beside the window recomputed",
    )
    command.add_argument("--cameras", **COUNT, default=4, help="cameras of 30 Hz that share the image network (default: 4)")
    command.add_argument("--frames", **COUNT, default=200, help="frames to measure (default: 200)")
    command.add_argument("--out", **FILE, help="also write the JSON to this file")
    add_settings(command, "threads")


def benchmark(args: argparse.Namespace) -> int:
    """Measure speed."""
    from .. import benchmark as speed

    *of_ros, video = args.video or [None]
    if of_ros not in ([], ["ros"]) or video == "ros" or (video is None) == (args.backbone is None):
        raise InputError(
            "give a VIDEO to run the tracker on, `ros VIDEO` for the ROS side, or --backbone SIZE for the image network alone"
        )
    settings = tracker_settings(args)
    if args.out is not None:
        check_out(args, [args.out], video)
    if of_ros:
        refuse_options(args, ("threads", "cameras"), "benchmark ros")
        (tool,) = ros_side("benchmark ros", "tools.benchmark")
        result = tool.run(video, seconds=args.frames / 30.0, parameters=tool.Parameters.of(settings))
    elif video is not None:
        result = _tracker(speed, settings, video, args.frames, args.cameras)
    else:
        refuse_options(args, ("weights", "model", "search", "looks", "hand_model", "hand_model_left"), "benchmark --backbone")
        import torch

        from ..hand_model.arrays import HandArrays
        from ..hand_model.assets import load_human_hand, pair_of
        from ..network.image_config import ImageConfig
        from ..network.image_model import ImageNetwork
        from ..runtime.image import check_device

        if args.device not in ("cpu", "cuda"):
            raise InputError("--backbone measures the network in torch: give --device cpu or cuda")
        if args.precision == "int8":
            raise InputError("--precision int8 is for the detector; the image network takes float32, float16 or bfloat16")
        check_device(args.device)
        torch.set_num_threads(args.threads)
        network, hands = ImageNetwork(ImageConfig.of_size(args.backbone)), HandArrays(pair_of(load_human_hand()))
        result = speed.benchmark_network(network, hands, args.device, args.precision, args.frames, args.cameras)
    tell(result, args.out)
    return 0


def _tracker(speed, settings, video: str, frames: int, cameras: int) -> dict:
    """The whole tracker on a video, with the stage `publish` where ROS 2 is installed."""
    try:
        (tool,) = ros_side("publish", "tools.benchmark")
    except DependencyError as error:
        return {**speed.benchmark(settings, video, frames, cameras=cameras), "publish": f"not measured: {error}"}
    with tool.published() as publish:
        return speed.benchmark(settings, video, frames, publish, cameras)
