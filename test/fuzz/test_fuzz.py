"""Whatever comes in as an image, CameraInfo, bag, parameter or file of weights is taken or refused, and nothing else happens.

`python -m pytest test/fuzz --cases 100000` is a campaign: so many cases, shared out among the targets, other ones each time.
Without --cases a few hundred, always the same ones. An input that fails is left, made as small as possible, in
.hypothesis/found; put into corpus/TARGET it is tried in every run.
"""

import json
import time
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="the node's inputs need ROS 2 (pip install 'fourdhands[ros]')")

import hypothesis
from hypothesis import HealthCheck, given, settings
from inputs import inputs
from mutations import Input
from targets import TARGETS, run

CORPUS = Path(__file__).parent / "corpus"
FOUND = Path(__file__).resolve().parents[2] / ".hypothesis" / "found"
USUAL = 600
INPUTS = inputs()


def test_every_target_has_inputs_and_a_part_of_the_campaign():
    assert INPUTS.keys() == TARGETS.keys() and sum(part for part, _ in INPUTS.values()) == 100


@pytest.mark.parametrize("name", TARGETS)
def test_inputs_are_taken_or_refused(name, request):
    campaign = request.config.getoption("--cases")
    part, strategy = INPUTS[name]
    cases = max((campaign or USUAL) * part // 100, 10)
    counts = {"cases": 0, "taken": 0, "longest_ms": 0.0}
    last = FOUND / name

    @settings(
        max_examples=cases,
        deadline=None,
        database=None,
        derandomize=campaign is None,
        suppress_health_check=list(HealthCheck),
        phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink],
    )
    @given(data=strategy.map(Input))
    def fuzz(data):
        counts["cases"] += 1
        began = time.process_time()
        try:
            counts["taken"] += run(TARGETS[name], data)
        except BaseException:
            last.parent.mkdir(parents=True, exist_ok=True)
            last.write_bytes(data)
            raise
        counts["longest_ms"] = round(max(counts["longest_ms"], 1e3 * (time.process_time() - began)), 1)

    began = time.monotonic()
    while counts["cases"] < cases:  # hypothesis ends early where it thinks that it has seen everything
        fuzz()
        if campaign is None:
            break
    _record(
        request.config,
        name,
        {**counts, "refused": counts["cases"] - counts["taken"], "seconds": round(time.monotonic() - began, 1)},
    )


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*/*")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_was_found_once_is_taken_or_refused(path):
    run(TARGETS[path.parent.name], path.read_bytes())


def _record(config, name, counts):
    file = config.getoption("--cases-out")
    if file is not None:
        written = json.loads(file.read_text()) if file.exists() else {"hypothesis": hypothesis.__version__, "targets": {}}
        written["targets"][name] = counts
        written["cases"] = sum(target["cases"] for target in written["targets"].values())
        file.write_text(json.dumps(written, indent=1) + "\n")
