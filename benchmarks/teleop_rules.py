"""Random faults in millions of steps of teleoperation: no rule may be broken.

python benchmarks/teleop_rules.py --steps 10000000 --jobs 2 --out benchmarks/teleop_rules.json

Hypothesis draws courses of faults, a hundred a seed, out of those of test/teleop_faults.py; test/teleop_rules.py has the rules.
With --out the seeds done are kept in the file, and the same command goes on after them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "test"))  # before this folder, whose file has the same name as one

import teleop_faults
import teleop_rules

COURSES = 100


def courses_of(number: int) -> dict[str, Any]:
    """Of one seed's courses: steps in each state, how often each fault was drawn, the rule that they broke or None."""
    states: Counter[str] = Counter()
    drawn: Counter[str] = Counter()

    @seed(number)
    @settings(
        max_examples=COURSES, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(teleop_faults.courses())
    def run(course: Any) -> None:
        try:
            states.update(teleop_rules.run(course))
        except AssertionError as error:
            raise AssertionError(f"{error}, in {course}") from error
        drawn.update(name for one in course[1] for name in one[:2])

    try:
        run()
    except AssertionError as error:
        return {"states": states, "faults": drawn, "broken": str(error)}
    return {"states": states, "faults": drawn, "broken": None}


def main() -> int:
    """0 where no rule was broken, else 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=10_000_000)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    kept = {"seeds": 0, "steps": 0, "rules": sorted(teleop_rules.RULES), "states": {}, "faults": {}, "broken": []}
    if args.out and args.out.exists():
        kept = json.loads(args.out.read_text())
    with ProcessPoolExecutor(args.jobs) as pool, tqdm(total=args.steps, initial=kept["steps"]) as bar:
        while kept["steps"] < args.steps:
            seeds = range(kept["seeds"], kept["seeds"] + args.jobs)
            results = list(pool.map(courses_of, seeds))
            for result in results:
                for name in ("states", "faults"):
                    kept[name] = dict(sorted((Counter(kept[name]) + result[name]).items()))
                kept["broken"] += [result["broken"]] if result["broken"] else []
                bar.update(result["states"].total())
            kept["seeds"], kept["steps"] = seeds.stop, sum(kept["states"].values())
            if args.out:
                args.out.write_text(json.dumps(kept, indent=1) + "\n")
    print(json.dumps(kept, indent=1))
    return int(bool(kept["broken"]))


if __name__ == "__main__":
    sys.exit(main())
