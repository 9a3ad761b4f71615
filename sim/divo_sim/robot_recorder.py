"""Records what the simulated robot publishes and is commanded to an MCAP file, as `ros2 bag record` would."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from divo_runtime.contract import Contract
from divo_runtime.recording.encoding import message_encoder
from divo_runtime.recording.identity import (
    MACHINE,
    VERSIONS,
    contract_text,
    describe_machine,
    describe_versions,
)
from divo_runtime.recording.mcap_file import McapFile, free_path
from divo_runtime.recording.ros_types import message_definition
from divo_runtime.recording.tape import Lane, Tape
from divo_sim.ros_messages import ros_class

CAPACITY = 8192
"""Messages that may wait for the disk: ten seconds of the robot's."""
STOP_TIMEOUT_S = 5.0
STRING = "std_msgs/msg/String"


class RobotRecorder:
    """One recording of the robot's topics, from the moment it is made until `close`.

    Args:
        record: File, or folder for a new file.
        contract: Names the topics.
        resolve: Topic of the contract, or `~/episode` -> ROS name.

    Raises:
        RecordingError: If the package `mcap` is not installed, or the file cannot be created.
    """

    def __init__(self, record: Path, contract: Contract, resolve: Callable[[str], str]) -> None:
        stamp = datetime.now(timezone.utc).strftime("%Y%m%d_%H%M%S")
        self._file = file = McapFile(free_path(record, f"{contract.name}_robot", stamp))
        now_ns = time.time_ns()
        file.attach("contract.yaml", "application/yaml", contract_text(contract).encode(), now_ns)
        file.describe(VERSIONS, describe_versions(("divo", "numpy", "mcap", "pybullet", "rclpy")))
        file.describe(MACHINE, describe_machine())
        kinds = {**contract.topics, contract.action.topic: contract.action.type, "~/episode": STRING}
        self._channels = {
            topic: file.add_channel(resolve(topic), kind, message_definition(ros_class(kind)), {"topic": topic})
            for topic, kind in kinds.items()
        }
        self._encoders = {topic: message_encoder(ros_class(kind)) for topic, kind in kinds.items()}
        self._lane = Lane(CAPACITY)
        self._tape = Tape({self._lane: self._write}, file.flush, file.close, file.abandon)
        self._tape.start()

    @property
    def path(self) -> Path:
        """The file."""
        return self._file.path

    @property
    def problem(self) -> str:
        """What is wrong with the recording; empty while it is complete."""
        lost = f"{self._lane.dropped} messages were lost" if self._lane.dropped else ""
        return self._tape.problem or lost

    def add(self, topic: str, message: Any, now_ns: int) -> None:
        """Take in a message that was published or has arrived.

        Args:
            topic: As in the contract, or `~/episode`.
            message: Plain or of ROS; not changed afterwards.
            now_ns: When that was [ns].
        """
        if not self._tape.problem:
            self._lane.put((topic, message, now_ns))

    def close(self) -> None:
        """Finish the file."""
        self._tape.stop(STOP_TIMEOUT_S)

    def _write(self, number: int, item: tuple[str, Any, int]) -> None:
        topic, message, now_ns = item
        self._file.write(self._channels[topic], self._encoders[topic](message), now_ns, now_ns)
