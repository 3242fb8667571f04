"""Train one run in a series of processes that are killed at random moments, and once undisturbed.

    PYTHONPATH=. python tests/workflow/killed_training.py JSON

JSON: settings, train (npz), folder, seed, signals. Every process is forked from this one, which has imported
torch, so that a kill costs no new import. A run that ends before its kill is set aside, and the kills
continue in a new one. Prints as JSON: each kill, and the folders of the finished runs.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sys
import time
from pathlib import Path

from workflow_scripts.core.files import canonical_json
from workflow_scripts.core.step import run
from workflow_scripts.steps import train_model
from workflow_scripts.training import loop


def attempt(settings: dict, train: str, folder: Path, kill_after_s: float | None, number: int) -> int:
    """Train in one process; return its exit code, negative for a signal."""
    steps = settings["training"]["checkpoint_steps"]
    arguments = [
        *("--settings", canonical_json(settings), "--input", "train", train),
        *("--output", "checkpoints", *(str(folder / f"checkpoints/step{step:07d}.pt") for step in steps)),
        *("--output", "log", str(folder / "log.csv"), "--output", "timing", str(folder / "timing.json")),
        *("--output", "status", str(folder / "status.json"), "--log", str(folder / "step.log")),
        *("--machine", "save_every_s", "0.02", "--machine", "device", "cpu"),
    ]
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        try:
            run(train_model.main, arguments)
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        os._exit(code)
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        os.kill(child, number)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main() -> None:
    spec = json.loads(sys.argv[1])
    settings, train, folder = spec["settings"], spec["train"], Path(spec["folder"])
    # In 1 % of its time a run of seconds would save once or twice; here it saves often, so kills hit saving
    # too.
    loop.MAX_SAVING_SHARE = 0.5
    started = time.monotonic()
    if attempt(settings, train, folder / "undisturbed", None, 0) != 0:
        sys.exit("the undisturbed run failed")
    training_s = json.loads((folder / "undisturbed" / "timing.json").read_text())["wall_s"]
    start_s = time.monotonic() - started - training_s
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    training_cpu_s = (usage.ru_utime + usage.ru_stime) * training_s / (training_s + start_s)

    moments, kills, finished = random.Random(spec["seed"]), [], []
    signals = [signal.Signals[name] for name in spec["signals"]]
    while True:
        current = folder / f"killed{len(finished)}"
        if len(kills) == len(signals):
            if attempt(settings, train, current, None, 0) != 0:
                sys.exit("the last process of a killed run failed")
            finished.append(str(current))
            break
        number = signals[len(kills)]
        # One in five while the process starts; the others spread so that together they reach about the end.
        after_s = moments.uniform(0, start_s)
        if moments.random() > 0.2:
            after_s = start_s + moments.uniform(0, 2 * training_s / len(signals))
        code = attempt(settings, train, current, after_s, number)
        if code == 0:
            finished.append(str(current))  # it ended before the signal came
            continue
        log = (current / "step.log").read_text() if (current / "step.log").exists() else ""
        kills.append({"signal": number.name, "after_s": round(after_s, 3), "exit": code, "log": log})
    print(json.dumps({"training_cpu_s": training_cpu_s, "kills": kills, "finished": finished}))


if __name__ == "__main__":
    main()
