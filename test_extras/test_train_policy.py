"""examples/train_policy.py from the simulated demonstrations to the rollouts, too short for a policy that can do anything."""

import json
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


def test_the_loop_closes(tmp_path, lerobot_python):
    command = [sys.executable, "examples/train_policy.py", "--lerobot", lerobot_python, "--out", str(tmp_path / "out")]
    command += ["--demonstrations", "3", "--steps", "10", "--rollouts", "1"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr[-3000:]  # 1: the policy was no better than a hand that does not look
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["exported"] >= 1 and result["rollouts"] == 1 and 0.0 <= result["success"] <= 1.0
    assert "step 10 of 10" in done.stdout and (tmp_path / "out" / "policy" / "model.safetensors").is_file()
