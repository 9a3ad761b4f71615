"""Does a policy that is trained from imported bags do as well as one from the dataset written directly?

The same mixture of scripted behaviours is written twice: by `divo-sim collect`, and as bags of what the simulated arm
would publish (joint states and tool pose at 120 Hz, goal and post at 20 Hz, commands, reward, termination, marks), with
simulated stamps and faster than real time. The bags are imported with `divo-train import`; both datasets are trained,
exported and validated over ROS 2 with the same settings, seeds and episodes.

About a quarter of an hour on two cores: python -m benchmarks.bag_vs_direct --record
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from rich.console import Console
from std_msgs.msg import Bool, Float64, Float64MultiArray, String

from benchmarks.figures import record_all
from divo_runtime.recording.encoding import message_encoder
from divo_runtime.recording.mcap_file import McapFile
from divo_runtime.recording.ros_types import message_definition
from divo_sim.arm_episode import advance_episode, begin_episode, step_reward
from divo_sim.arm_reach import ArmReach
from divo_sim.arm_scene import PHYSICS_HZ
from divo_sim.chunks import episode_seed
from divo_sim.mixtures import MIXTURES
from divo_sim.ros_messages import ros_class
from divo_train.data.minari import load_minari

SCRIPT = "benchmarks/bag_vs_direct.py"
CONTRACT = Path(__file__).resolve().parents[1] / "sim" / "divo_sim" / "contracts" / "arm_reach.yaml"
BEGIN_NS = 1_700_000_000_000_000_000
PAUSE_NS = 1_000_000_000
"""Between two episodes."""
COMMAND_NS, REWARD_NS, MARK_NS = 1_000_000, 400_000, 5_000_000
"""When the command, the last period's reward and the mark come, after the state was measured."""
ARRIVAL_NS = 200_000
SUBSTEPS = 2
"""Of physics between two messages of the robot: 120 Hz."""
OWN = {"reward": Float64, "done": Bool, "episode": String}


@dataclass(frozen=True, slots=True)
class BagVersusDirect:
    """Compare both ways."""

    transitions: int = 100_000
    """Of each dataset."""
    mixture: str = "mixed-25"
    seed: int = 0
    """Of the behaviours and the training."""
    episodes: int = 100
    """Played in the loop with each policy, in real time."""
    policy: str = "actor"
    workers: int = 2
    fit: str = ""
    """More settings of `divo-train fit`, in one text; for a quick try."""
    folder: Path | None = None
    """Where everything is kept; by default a temporary folder."""
    record: bool = False
    """Write the figures to docs/figures.json."""

    def run(self) -> None:
        """Make, train, validate and compare."""
        console = Console(highlight=False)
        with _folder(self.folder) as folder:
            bags = write_bags(folder / "bags", self.mixture, self.transitions, self.seed, self.workers)
            console.print(f"{sum(bags.values()):,} transitions in {len(bags)} bags")
            common = ["--seed", str(self.seed), "--workers", str(self.workers)]
            collected = ["--mixture", self.mixture, "--transitions", str(self.transitions), *common]
            _call("divo-sim", "collect", *collected, "--out", str(folder / "direct"))
            topics = ["--reward-topic", "reward", "--terminated-topic", "done", "--episode-topic", "episode"]
            imported = [
                *map(str, sorted((folder / "bags").glob("*.mcap"))),
                "--contract",
                str(CONTRACT),
                "--workers",
                str(self.workers),
                *topics,
            ]
            _call("divo-train", "import", *imported, "--out", str(folder / "imported" / "arm-v0"))
            datasets = {
                "direct": folder / "direct" / "divo" / "arm_reach" / f"{self.mixture}-v0",
                "bag": folder / "imported" / "arm-v0",
            }
            console.print(f"largest difference of sorted observations: {largest_difference(*datasets.values()):.3g}")
            success = {name: self._judge(folder / name, dataset) for name, dataset in datasets.items()}
        for name, share in success.items():
            console.print(f"{name}: {share:.3f} of {self.episodes} episodes reached the goal in the loop")
        console.print(f"difference {success['bag'] - success['direct']:+.3f}")
        if self.record:
            figures = {
                "import.bag_minus_direct_success": (round(success["bag"] - success["direct"], 4), "1"),
                "import.bag_success": (success["bag"], "1"),
                "import.direct_success": (success["direct"], "1"),
            }
            record_all(figures, SCRIPT)

    def _judge(self, folder: Path, dataset: Path) -> float:
        """Train, export and validate; return the share of episodes that succeeded in the loop."""
        run, bundle, report = (str(folder / name) for name in ("run", "bundle", "report"))
        common = ["--seed", str(self.seed), "--workers", str(self.workers), "--methods", "divo"]
        _call("divo-train", "fit", "--dataset", str(dataset), "--out", run, *common, *self.fit.split())
        _call("divo-export", "bundle", run, "--out", bundle, "--episodes", "0")
        played = ["--policies", self.policy, "--episodes", str(self.episodes), "--workers", str(self.workers)]
        _call("divo-sim", "validate", "--bundle", bundle, *played, "--out", report)
        validation = json.loads((Path(report) / "validation.json").read_text())
        return float(validation["policies"][self.policy]["loop"]["success"]["value"])


def largest_difference(first: Path, second: Path) -> float:
    """Return how far two datasets' observations, sorted, are apart at most; inf if their numbers differ."""
    rows = [load_minari(folder).observations for folder in (first, second)]
    if rows[0].shape != rows[1].shape:
        return float("inf")
    one, other = (each[np.lexsort(each.T)] for each in rows)
    return float(np.abs(one - other).max())


def write_bags(folder: Path, mixture: str, transitions: int, seed: int, workers: int) -> dict[str, int]:
    """Write one bag per behaviour; return how many transitions each holds."""
    targets = {name: round(share * transitions) for name, share in MIXTURES[mixture].items()}  # type: ignore[index]
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        running = {name: pool.submit(write_bag, folder, name, target, seed) for name, target in targets.items()}
        return {name: future.result() for name, future in running.items()}


def write_bag(folder: Path, behaviour: str, target: int, seed: int) -> int:
    """Write episodes of one behaviour until they hold `target` transitions; return how many they hold."""
    task = ArmReach()
    publish, close = _publisher(folder / f"{behaviour}.mcap", task)
    now_ns, count, number = BEGIN_NS, 0, 0
    while count < target:
        now_ns, steps = _play(task, behaviour, episode_seed(seed, behaviour, number), now_ns + PAUSE_NS, publish)
        count, number = count + steps, number + 1
    close()
    task.close()
    return count


def _play(
    task: ArmReach, behaviour: str, seed: int, now_ns: int, publish: Callable[[str, Any, int], None]
) -> tuple[int, int]:
    """Play one episode as the gymnasium task does, and publish it; return the time after it and its steps."""
    contract, scene = task.contract, task.scene
    lower, upper = contract.action_range()
    _, _, act = task.begin(behaviour, seed)
    step_ns = SUBSTEPS * 1_000_000_000 // PHYSICS_HZ
    pieces = round(PHYSICS_HZ / contract.rate_hz) // SUBSTEPS
    episode = begin_episode(scene.tool())
    publish("episode", String(data=f"{behaviour} {seed}"), now_ns - MARK_NS)
    _publish_state(task, now_ns, publish, everything=True)
    while not (episode.terminated or episode.truncated):
        action = act().astype(np.float32)
        publish(contract.action.topic, Float64MultiArray(data=action.astype(float).tolist()), now_ns + COMMAND_NS)
        scene.set_velocity(np.clip(action.astype(np.float64), lower, upper))
        contact = False
        for piece in range(1, pieces + 1):
            contact = scene.advance(SUBSTEPS) or contact
            last = piece == pieces
            at_ns = now_ns + (contract.period_ns if last else piece * step_ns)
            _publish_state(task, at_ns, publish, everything=last)
        now_ns += contract.period_ns
        before, episode = episode, advance_episode(episode, scene.tool(), scene.goal, scene.post, contact)
        publish("reward", Float64(data=step_reward(before, episode)), now_ns + REWARD_NS)
        if episode.terminated:
            publish("done", Bool(data=True), now_ns + REWARD_NS + 1)
    publish("episode", String(data="stop"), now_ns + MARK_NS)
    return now_ns, episode.steps


def _publish_state(task: ArmReach, now_ns: int, publish: Callable[[str, Any, int], None], everything: bool) -> None:
    for topic, message in task.scene.messages(now_ns).items():
        if everything or topic in ("joint_states", "tool_pose"):
            publish(topic, message, now_ns + ARRIVAL_NS)


def _publisher(path: Path, task: ArmReach) -> tuple[Callable[[str, Any, int], None], Callable[[], None]]:
    """Return what writes a message with its arrival, and what closes the file; as the simulated robot records."""
    file = McapFile(path)
    kinds = {**task.contract.topics, task.contract.action.topic: task.contract.action.type}
    classes = {**{topic: ros_class(kind) for topic, kind in kinds.items()}, **OWN}
    names = {**kinds, **{topic: f"std_msgs/msg/{kind.__name__}" for topic, kind in OWN.items()}}
    encoders = {topic: message_encoder(kind) for topic, kind in classes.items()}
    channels = {
        topic: file.add_channel(f"/{topic}", names[topic], message_definition(kind), {})
        for topic, kind in classes.items()
    }

    def publish(topic: str, message: Any, now_ns: int) -> None:
        file.write(channels[topic], encoders[topic](message), now_ns, now_ns)

    return publish, file.close


def _call(program: str, *arguments: str) -> None:
    subprocess.run([str(Path(sys.executable).with_name(program)), *arguments], check=True)


@contextmanager
def _folder(chosen: Path | None) -> Any:
    if chosen:
        chosen.mkdir(parents=True, exist_ok=True)
        yield chosen
    else:
        with tempfile.TemporaryDirectory(prefix="divo-bags-") as name:
            yield Path(name)


if __name__ == "__main__":
    tyro.cli(BagVersusDirect).run()
