"""`fourdhands convert-mano`, `import-weights` and `export`: files of hand models and networks."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import InputError
from . import COUNT, FILE, FOLDER, Commands, add_command, check_out, path, refuse_options


def add(commands: Commands) -> None:
    """Their arguments."""
    command = add_command(commands, "convert-mano", convert_mano, "convert official MANO pickles once to npz")
    command.add_argument(
        "pickles",
        type=path,
        nargs="+",
        metavar="PKL",
        help="MANO_RIGHT.pkl, MANO_LEFT.pkl, or mano_v1_2.zip as the publisher gives it",
    )
    command.add_argument("--out", type=path, default=Path(), metavar="PATH", help="folder (default: this one) or npz file")

    command = add_command(
        commands,
        "import-weights",
        import_weights,
        "convert the authors' released checkpoint to weights for model image",
        extra="torch",
    )
    command.add_argument("checkpoint", type=path, metavar="PTH", help="Demo_Video.pth, Eval_Video.pth or Demo_Image.pth")
    command.add_argument("--out", **FILE, help="safetensors to write (default: beside the checkpoint)")
    command.add_argument(
        "--window", **COUNT, help="frames that the network was trained with: 9, or 1 (default: 1 for a name with `image` in it)"
    )
    command.add_argument(
        "--backbone",
        choices=("S", "B", "L", "H"),
        metavar="SIZE",
        help="take only the ViT of this size (S, B, L, H) from a HaMeR or ViTPose checkpoint, to train from",
    )

    command = add_command(
        commands, "export", export, "write the network as ONNX, for device onnx: machines without torch", extra="onnx"
    )
    command.add_argument("--weights", default="", metavar="FILE", help="network weights (default: the shipped ones)")
    command.add_argument("--out", **FOLDER, required=True, help="folder for encode.onnx and reason.onnx")


def convert_mano(args: argparse.Namespace) -> int:
    """Convert official MANO pickles once to npz."""
    from ..hand_model import mano_files

    if args.out.suffix == ".npz" and len(args.pickles) > 1:
        raise InputError(f"--out {args.out} is one file for {len(args.pickles)} pickles; give a folder")
    check_out(args, [args.out] if args.out.suffix == ".npz" else [args.out / "MANO_RIGHT.npz"])
    for pickle in args.pickles:
        for converted in mano_files.convert_mano(pickle, args.out):
            print(converted)
    return 0


def import_weights(args: argparse.Namespace) -> int:
    """Convert a published checkpoint to weights of the image network."""
    from ..network.checkpoint import save_weights
    from ..network.image_config import ImageConfig
    from ..network.import_weights import import_backbone, import_released

    out = args.out or args.checkpoint.with_suffix(".safetensors")
    check_out(args, [out], args.checkpoint)
    if args.backbone:
        refuse_options(args, ["window"], "import-weights --backbone")
        imported = import_backbone(args.checkpoint, ImageConfig.of_size(args.backbone))
    else:
        imported = import_released(args.checkpoint, args.window)
    if imported.superfluous:
        print(f"of no use here: {', '.join(imported.superfluous)}")
    save_weights(imported.network, out, source=args.checkpoint.name)
    print(f"written to {out}")
    return 0


def export(args: argparse.Namespace) -> int:
    """Write a network as ONNX."""
    from ..network.checkpoint import load_weights
    from ..runtime.onnx_files import INPUTS
    from ..runtime.parts import export_onnx

    check_out(args, [args.out / f"{name}{ending}" for name in INPUTS for ending in ("", ".data")])
    for file in export_onnx(load_weights(args.weights or None), args.out):
        print(file)
    return 0
