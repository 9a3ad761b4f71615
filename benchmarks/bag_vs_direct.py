"""Does a policy that is trained from imported bags do as well as one from the dataset written directly?

The same scripted episodes are written twice: by `divo-sim collect`, and as bags of what the simulated arm would
publish (joint states and tool pose at 120 Hz, goal and post at 20 Hz, commands, reward, termination, marks), with
simulated stamps and faster than real time. The bags are imported with `divo-train import`; both datasets are trained,
exported and validated over ROS 2 with the same settings, seeds and episodes.

Every episode is a bag of its own, and they are imported in the dataset's order. In another order training draws other
batches, which alone moves the success of one training seed by more than 3 points (docs/import.md): that would be
measured instead of the import. They are played in the order in which they were collected, because in another
order observations differed by up to 0.026; the simulator seems to remember a little of the episode before.

About a quarter of an hour on two cores: python -m benchmarks.bag_vs_direct --record
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import h5py
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
from divo_sim.ros_messages import ros_class
from divo_sim.tasks import ARM_REACH
from divo_train.data.minari import load_minari

SCRIPT = "benchmarks/bag_vs_direct.py"
CONTRACT = Path(__file__).resolve().parents[1] / "sim" / "divo_sim" / "contracts" / "arm_reach.yaml"
BEGIN_NS = 1_700_000_000_000_000_000
PAUSE_NS = 1_000_000_000
"""Before the episode."""
COMMAND_NS, REWARD_NS, MARK_NS = 1_000_000, 400_000, 5_000_000
"""When the command, the last period's reward and the mark come, after the state was measured."""
ARRIVAL_NS = 200_000
SUBSTEPS = 2
"""Of physics between two messages of the robot: 120 Hz."""
BEHAVIOUR_NAMES = ARM_REACH.behaviours
EpisodeKey = tuple[str, int]
"""Behaviour and seed, from which an episode can be played again."""
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
            common = ["--seed", str(self.seed), "--workers", str(self.workers)]
            collected = ["--mixture", self.mixture, "--transitions", str(self.transitions), *common]
            _call("divo-sim", "collect", *collected, "--out", str(folder / "direct"))
            direct = folder / "direct" / "divo" / "arm_reach" / f"{self.mixture}-v0"
            bags, transitions = write_bags(folder / "bags", list_episodes(direct), self.seed, self.workers)
            console.print(f"{transitions:,} transitions in {bags:,} bags")
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
                "direct": direct,
                "bag": folder / "imported" / "arm-v0",
            }
            console.print(f"largest difference of any number: {largest_difference(*datasets.values()):.3g}")
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
    """Return how far any two numbers of two datasets are apart at most; inf if their shapes differ."""
    datasets = [load_minari(folder) for folder in (first, second)]
    apart = 0.0
    for name in ("observations", "actions", "rewards", "terminated", "truncated", "episodes"):
        one, other = (np.asarray(getattr(dataset, name), np.float64) for dataset in datasets)
        if one.shape != other.shape:
            return float("inf")
        apart = max(apart, float(np.abs(one - other).max()))
    return apart


def list_episodes(dataset: Path) -> list[EpisodeKey]:
    """Return behaviour and seed of every episode, in the dataset's order."""
    with h5py.File(dataset / "data" / "main_data.hdf5") as file:
        groups = [file[f"episode_{number}"] for number in range(len(file))]
        return [(BEHAVIOUR_NAMES[int(group["infos/behaviour"][0])], int(group.attrs["seed"])) for group in groups]


def write_bags(folder: Path, episodes: Sequence[EpisodeKey], seed: int, workers: int) -> tuple[int, int]:
    """Play the episodes again, each into a bag that is named by its place; return the bags and their transitions."""
    places: dict[str, dict[int, int]] = {}
    for place, (behaviour, episode) in enumerate(episodes):
        places.setdefault(behaviour, {})[episode] = place
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        running = [pool.submit(write_behaviour, folder, name, seed, mine) for name, mine in places.items()]
        return len(episodes), sum(future.result() for future in running)


def write_behaviour(folder: Path, behaviour: str, seed: int, places: dict[int, int]) -> int:
    """Play the episodes of one behaviour in the order of their collection; return how many transitions they hold."""
    task, count, number = ArmReach(), 0, 0
    while places:
        episode = episode_seed(seed, behaviour, number)
        place = places.pop(episode)
        publish, close = _publisher(folder / f"run_{place:05d}.mcap", task)
        count += _play(task, behaviour, episode, BEGIN_NS + PAUSE_NS, publish)
        close()
        number += 1
    task.close()
    return count


def _play(task: ArmReach, behaviour: str, seed: int, now_ns: int, publish: Callable[[str, Any, int], None]) -> int:
    """Play one episode as the gymnasium task does, and publish it; return its steps."""
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
    return episode.steps


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
