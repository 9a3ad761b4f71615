"""How fast bags are imported, and in how much memory.

Makes MCAP bags of the arm task with the topics and rates of the simulated robot (joint states and tool pose at 120 Hz,
goal and post at 20 Hz, commands at 20 Hz), imports them with `divo-train import` and watches its processes.

One bag is written; the others are links to it, so that 10 GB to read take little disk:
python -m benchmarks.import_bags --gigabytes 10 --record
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from struct import pack_into

import numpy as np
import tyro
from mcap.writer import CompressionType, Writer
from rich.console import Console
from rosbags.typesys import Stores, get_typestore

from benchmarks.figures import record_all
from divo_runtime.contract import load_contract

CONTRACT = Path(__file__).resolve().parents[1] / "sim" / "divo_sim" / "contracts" / "arm_reach.yaml"
BEGIN_NS = 1_700_000_000_000_000_000
STEP_NS = 1_000_000_000 // 120
POLL_S = 0.05
STORE = get_typestore(Stores.ROS2_JAZZY)
TYPES = STORE.types


@dataclass(frozen=True, slots=True)
class ImportBags:
    """Measure `divo-train import`."""

    gigabytes: float = 0.3
    """Bags to import, together [GB]."""
    bag_megabytes: float = 300.0
    """Size of one bag [MB]."""
    zstd: bool = False
    """Compress the bags, as `ros2 bag record --storage-preset-profile zstd_fast` does."""
    workers: int = 0
    """Processes; 0 means one per core."""
    record: bool = False
    """Write the figures to docs/figures.json."""

    def run(self) -> None:
        """Make bags, import them, print what was measured."""
        workers = self.workers or os.cpu_count() or 1
        console = Console(highlight=False)
        with tempfile.TemporaryDirectory(prefix="divo-import-") as name:
            folder = Path(name)
            first = folder / "bags" / "bag_000"
            messages, size = write_bag(first, round(self.bag_megabytes * 1e6), self.zstd)
            count = max(math.ceil(self.gigabytes * 1e9 / size), 1)
            for number in range(1, count):
                copy = folder / "bags" / f"bag_{number:03d}"
                copy.mkdir()
                os.link(first / "bag.mcap", copy / "bag.mcap")
            console.print(f"{count} bags of {size / 1e6:.0f} MB and {messages:,} messages, {workers} processes")
            seconds, peak = watch_import(folder, min(workers, count))
        rate = messages * count / seconds / min(workers, count)
        console.print(
            f"{seconds:.1f} s: {rate:,.0f} messages per second and core, {size * count / seconds / 1e6:.0f} MB/s"
        )
        console.print(f"peak of all processes together: {peak / 1e6:.0f} MB resident")
        if self.record:
            figures = {
                "import.messages_per_s_per_core": (rate, "1/s"),
                "import.peak_rss_mb": (peak / 1e6, "MB"),
                "import.gigabytes": (size * count / 1e9, "GB"),
            }
            record_all(figures, "benchmarks/import_bags.py")


def write_bag(folder: Path, size: int, zstd: bool) -> tuple[int, int]:
    """Write a bag of about a size; return its messages and its bytes.

    Args:
        folder: The bag's folder.
        size: Bytes, before compression.
        zstd: Whether to compress.
    """
    contract = load_contract(CONTRACT)
    joints = list(contract.action.names)
    joint_state = _template("sensor_msgs/msg/JointState", [joints, np.zeros(7), np.zeros(7), np.zeros(7)])
    pose = TYPES["geometry_msgs/msg/Pose"](_point(0.4, 0.0, 0.5), TYPES["geometry_msgs/msg/Quaternion"](0, 0, 0, 1))
    layout = TYPES["std_msgs/msg/MultiArrayLayout"]([], 0)
    array = TYPES["std_msgs/msg/Float64MultiArray"](layout, np.zeros(7))
    payloads = {
        "/joint_states": ("sensor_msgs/msg/JointState", joint_state, 1),
        "/tool_pose": ("geometry_msgs/msg/PoseStamped", _template("geometry_msgs/msg/PoseStamped", [pose]), 1),
        "/goal": (
            "geometry_msgs/msg/PointStamped",
            _template("geometry_msgs/msg/PointStamped", [_point(0.5, 0, 0.1)]),
            6,
        ),
        "/post": (
            "geometry_msgs/msg/PointStamped",
            _template("geometry_msgs/msg/PointStamped", [_point(0.5, 0, 0)]),
            6,
        ),
        f"/{contract.action.topic}": (
            contract.action.type,
            bytearray(STORE.serialize_cdr(array, contract.action.type)),
            6,
        ),
    }
    folder.mkdir(parents=True)
    path = folder / "bag.mcap"
    count = 0
    with path.open("wb") as stream:
        kind = CompressionType.ZSTD if zstd else CompressionType.NONE
        writer = Writer(stream, chunk_size=768 * 1024, compression=kind)
        writer.start(profile="ros2", library="divo benchmark")
        channels = {}
        for topic, (name, _, _) in payloads.items():
            text, _ = STORE.generate_msgdef(name, ros_version=2)
            schema = writer.register_schema(name, "ros2msg", text.encode())
            channels[topic] = writer.register_channel(topic, "cdr", schema, {"offered_qos_profiles": ""})
        written = step = 0
        places = _offsets(joint_state, 7)
        while written < size:
            now_ns = BEGIN_NS + step * STEP_NS
            wave = [math.sin(step / 40 + joint) for joint in range(7)]
            pack_into("<7d", joint_state, places[0], *wave)
            pack_into("<7d", joint_state, places[1], *wave)
            for offset, (topic, (name, data, every)) in enumerate(payloads.items()):
                if step % every:
                    continue
                if name != contract.action.type:
                    pack_into("<iI", data, 4, now_ns // 1_000_000_000, now_ns % 1_000_000_000)
                else:
                    pack_into("<7d", data, len(data) - 56, *wave)
                writer.add_message(channels[topic], now_ns + (offset + 1) * 50_000, bytes(data), now_ns, step)
                written += len(data) + 31
                count += 1
            step += 1
        writer.finish()
    return count, path.stat().st_size


def watch_import(folder: Path, workers: int) -> tuple[float, int]:
    """Import the bags; return the wall time [s] and the largest resident memory of all its processes together [B]."""
    command = [sys.executable, "-m", "divo_train.cli", "import", str(folder / "bags"), "--contract", str(CONTRACT)]
    command += ["--out", str(folder / "out-v0"), "--reward", "none", "--workers", str(workers)]
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(map(_resident, _tree(process.pid))))
        time.sleep(POLL_S)
    seconds = time.perf_counter() - begun
    if process.returncode:
        raise SystemExit(process.returncode)
    return seconds, peak


def _template(name: str, fields: list[object]) -> bytearray:
    header = TYPES["std_msgs/msg/Header"](TYPES["builtin_interfaces/msg/Time"](0, 0), "base")
    return bytearray(STORE.serialize_cdr(TYPES[name](header, *fields), name))


def _point(x: float, y: float, z: float) -> object:
    return TYPES["geometry_msgs/msg/Point"](x, y, z)


def _offsets(message: bytearray, size: int) -> tuple[int, int]:
    """Return where positions and velocities stand in a serialised JointState, whose last 3 arrays have one length."""
    end = len(message)
    stride = size * 8 + 8  # an array of doubles, and the padded length in front of it
    return end - 2 * stride - size * 8, end - stride - size * 8


def _tree(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    found = [pid]
    for parent in found:
        try:
            text = Path(f"/proc/{parent}/task/{parent}/children").read_text()
        except OSError:
            continue
        found += map(int, text.split())
    return found


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


if __name__ == "__main__":
    tyro.cli(ImportBags).run()
