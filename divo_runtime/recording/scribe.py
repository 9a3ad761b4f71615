"""Turns notes into the messages of a recording; used by the recording's own thread only.

A message is written once, where a call first used it, and known from then on by its topic and sequence number. So a
recording holds, before each cycle, every message that the cycle used.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from divo_runtime.contract import Contract
from divo_runtime.controller import Measurements
from divo_runtime.fields import JointArray
from divo_runtime.observation import Measurement
from divo_runtime.recording.encoding import message_encoder
from divo_runtime.recording.journal import Call, Step
from divo_runtime.recording.mcap_file import McapFile
from divo_runtime.recording.messages import (
    CYCLE_DEFINITION,
    CYCLE_TYPE,
    EMPTY,
    EVENT_DEFINITION,
    EVENT_TYPE,
    CycleRecord,
    CycleTimes,
    EventRecord,
    Inputs,
    encode_cycle,
    encode_event,
)
from divo_runtime.recording.ros_types import message_definition

REMEMBERED = 256
"""Messages of each topic whose place in the file is known; a cycle uses one of the last few."""

UNKNOWN_TIMES = CycleTimes()


class Scribe:
    """Writes one controller's recording.

    Args:
        file: Where to.
        contract: Its topics get a channel each.
        node: ROS name of the node, such as `/divo_controller`; cycles and events stand below it.
        resolve: Topic of the contract -> ROS name.
        message_class: Message type -> class.
        convert: (command (act_dim,), time [ns]) -> command message.
    """

    def __init__(
        self,
        file: McapFile,
        contract: Contract,
        node: str,
        resolve: Callable[[str], str],
        message_class: Callable[[str], type[Any]],
        convert: Callable[[JointArray, int], Any],
    ) -> None:
        self._file, self._convert = file, convert
        self._topics = tuple(contract.topics)
        self._encoders = {topic: message_encoder(message_class(kind)) for topic, kind in contract.topics.items()}
        self._encode_command = message_encoder(message_class(contract.action.type))

        def add(topic: str, kind: str, role: str) -> int:
            definition = message_definition(message_class(kind))
            return file.add_channel(resolve(topic), kind, definition, {"role": role, "topic": topic})

        self._channels = {topic: add(topic, kind, "input") for topic, kind in contract.topics.items()}
        self._commands = add(contract.action.topic, contract.action.type, "command")
        self._cycles = file.add_channel(f"{node}/cycle", CYCLE_TYPE, CYCLE_DEFINITION, {"role": "cycle"})
        self._events = file.add_channel(f"{node}/event", EVENT_TYPE, EVENT_DEFINITION, {"role": "event"})
        self._known: Mapping[str, OrderedDict[int, tuple[Measurement, int]]] = {
            topic: OrderedDict() for topic in self._topics
        }
        self._held: tuple[int, Step] | None = None
        self._last_order = 0
        self._now_ns = 0

    def write_command(self, number: int, sent: tuple[JointArray, int, int]) -> None:
        """Write a command, given with the time it was computed for and the time it was sent [ns]."""
        command, now_ns, sent_ns = sent
        self._file.write(self._commands, self._encode_command(self._convert(command, now_ns)), sent_ns, sent_ns)

    def write_note(self, order: int, note: Step | Call) -> None:
        """Write a call of the controller; a step waits for its times, until the next call at the latest."""
        self.finish()
        if order != self._last_order + 1:
            lost = order - self._last_order - 1
            self._write_event(EventRecord(order - 1, "lost", self._now_ns, text=f"{lost} calls"))
        self._last_order = order
        if isinstance(note, Step):
            self._held = (order, note)
            return
        self._now_ns = note.now_ns or self._now_ns
        inputs = self._inputs(note.measurements)
        self._write_event(
            EventRecord(order, note.kind, note.now_ns, note.seed, note.during, inputs, note.text, note.result)
        )

    def flush(self) -> None:
        """Flush the file."""
        self._file.flush()

    def finish(self) -> None:
        """Write the step that waits for its times."""
        if self._held is None:
            return
        (order, step), self._held = self._held, None
        output, seen = step.output, step.output.observation
        self._now_ns = step.now_ns
        record = CycleRecord(
            order,
            step.number,
            step.draw,
            step.seed,
            step.now_ns,
            output.value,
            (output.timings.observation_ns, output.timings.policy_ns, output.timings.gate_ns),
            step.times or UNKNOWN_TIMES,
            self._inputs(step.measurements),
            step.policy,
            output.mode.value,
            seen.ages_ns if seen else (),
            seen.vector if seen else EMPTY,
            EMPTY if output.noise is None else output.noise.ravel(),
            EMPTY if output.action is None else output.action,
            np.empty(0) if output.command is None else output.command,
            output.reasons,
            output.clips,
            output.warnings,
        )
        self._file.write(self._cycles, encode_cycle(record), step.now_ns, step.now_ns)

    def _write_event(self, event: EventRecord) -> None:
        self._file.write(self._events, encode_event(event), self._now_ns, self._now_ns)

    def _inputs(self, measurements: Measurements | None) -> Inputs:
        if measurements is None:
            return Inputs(self._topics)
        used = [measurements.get(topic) for topic in self._topics]
        return Inputs(
            self._topics,
            tuple(self._place(topic, one) if one else 0 for topic, one in zip(self._topics, used, strict=True)),
            tuple(one.stamp_ns if one else 0 for one in used),
            tuple(one.received_ns if one else 0 for one in used),
        )

    def _place(self, topic: str, measurement: Measurement) -> int:
        """Return the sequence number of a message, which is written if it was not yet."""
        known = self._known[topic]
        key = id(measurement)  # valid while we hold the measurement itself
        if key in known:
            return known[key][1]
        data = self._encoders[topic](measurement.message)
        arrived_ns = measurement.received_ns or measurement.stamp_ns
        sequence = self._file.write(self._channels[topic], data, arrived_ns, measurement.stamp_ns)
        known[key] = (measurement, sequence)
        if len(known) > REMEMBERED:
            known.popitem(last=False)
        return sequence
