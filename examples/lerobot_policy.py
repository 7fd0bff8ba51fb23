"""A small ACT policy of the `lerobot` package on a dataset of hands: trained, and asked. It needs lerobot alone.

python examples/lerobot_policy.py train DATASET POLICY [STEPS]
    loads the dataset by LeRobotDataset and trains on the CPU, in minutes
python examples/lerobot_policy.py serve POLICY
    a line of JSON in, {"state": [...], "robot": [...]}: the action as a line out; {"begin": true} begins an episode
"""

import json
import sys
from pathlib import Path

import torch
from lerobot.configs.types import FeatureType, NormalizationMode, PolicyFeature
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from lerobot.policies.act.configuration_act import ACTConfig
from lerobot.policies.act.modeling_act import ACTPolicy
from lerobot.policies.factory import make_pre_post_processors

STATE, ROBOT, ACTION = "observation.state", "observation.robot_state", "action"
ENVIRONMENT = "observation.environment_state"  # what ACT calls what it sees beside its own state where there are no images
SECONDS = 1.5  # that the policy looks ahead
BATCH, RATE = 64, 5e-4


def loaded(folder: str) -> tuple[LeRobotDataset, dict[str, torch.Tensor]]:
    """The dataset, and all its rows with the actions of SECONDS from each on: it is small enough to be held in memory."""
    chunk = round(SECONDS * json.loads((Path(folder) / "meta" / "info.json").read_text())["fps"])
    fps = LeRobotDataset("demonstrations", root=folder).fps
    dataset = LeRobotDataset("demonstrations", root=folder, delta_timestamps={ACTION: [k / fps for k in range(chunk)]})
    names = (STATE, ROBOT, ACTION, f"{ACTION}_is_pad")
    items = [dataset[row] for row in range(len(dataset))]
    return dataset, {name: torch.stack([item[name] for item in items]) for name in names}


def train(folder: str, out: str, steps: int) -> None:
    """Train and write the policy, with the processors that hold the dataset's statistics."""
    torch.manual_seed(0)
    dataset, rows = loaded(folder)
    stats = {**dataset.meta.stats, ENVIRONMENT: dataset.meta.stats[ROBOT]}
    sizes = {name: (rows[name].shape[-1],) for name in (STATE, ROBOT, ACTION)}
    config = ACTConfig(
        input_features={
            STATE: PolicyFeature(FeatureType.STATE, sizes[STATE]),
            ENVIRONMENT: PolicyFeature(FeatureType.ENV, sizes[ROBOT]),
        },
        output_features={ACTION: PolicyFeature(FeatureType.ACTION, sizes[ACTION])},
        normalization_mapping=dict.fromkeys(("STATE", "ENV", "ACTION"), NormalizationMode.MEAN_STD),
        chunk_size=rows[ACTION].shape[1],
        n_action_steps=max(1, rows[ACTION].shape[1] // 4),
        dim_model=128,
        dim_feedforward=512,
        n_heads=4,
        n_encoder_layers=2,
        n_decoder_layers=2,
        use_vae=False,
        device="cpu",
    )
    policy = ACTPolicy(config)
    before, after = make_pre_post_processors(config, dataset_stats=stats)
    optimizer = torch.optim.AdamW(policy.parameters(), RATE, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    policy.train()
    for step in range(steps):
        some = torch.randint(len(rows[STATE]), (BATCH,))
        batch = {name: column[some] for name, column in rows.items()}
        batch[ENVIRONMENT] = batch.pop(ROBOT)
        loss, _ = policy.forward(before(batch))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(policy.parameters(), 10.0)
        optimizer.step()
        schedule.step()
        if step % max(1, steps // 10) == 0 or step == steps - 1:
            print(f"step {step + 1} of {steps}: loss {loss.item():.4f}", flush=True)
    policy.save_pretrained(out)
    before.save_pretrained(out)
    after.save_pretrained(out)


def serve(folder: str) -> None:
    """Answer until the input ends."""
    policy = ACTPolicy.from_pretrained(folder)
    policy.eval()
    before, after = make_pre_post_processors(policy.config, pretrained_path=folder)
    print("ready", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        if asked.get("begin"):
            policy.reset()
            continue
        seen = {STATE: torch.tensor(asked["state"]), ENVIRONMENT: torch.tensor(asked["robot"])}
        with torch.inference_mode():
            action = after(policy.select_action(before(seen)))
        print(json.dumps(action[0].tolist()), flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)  # more wait for each other where the machine is busy, and the network is small
    if sys.argv[1:2] == ["train"]:
        train(sys.argv[2], sys.argv[3], int(sys.argv[4]) if len(sys.argv) > 4 else 2000)
    elif sys.argv[1:2] == ["serve"]:
        serve(sys.argv[2])
    else:
        sys.exit(__doc__)
