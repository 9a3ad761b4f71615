"""The two message types of a recording that are our own: what each cycle did, and what else the controller was told.

Their definitions are embedded in the file, so tools read them without our package, and nothing has to be generated.
The fixed numbers come first and the names of the topics right after them, where they are the same bytes every time.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from divo_runtime.fields import JointArray
from divo_runtime.observation import FloatArray
from divo_runtime.recording.cdr import CdrReader, CdrWriter

CYCLE_TYPE = "divo_controller/msg/Cycle"
EVENT_TYPE = "divo_controller/msg/Event"

_INPUTS = """\
string[] topics          # input topics of the contract
uint32[] sequences       # which message of each topic was used: its sequence number on that topic's channel; 0: none
int64[] stamps_ns        # when it was true, by the contract's clock [ns]
int64[] received_ns      # when it arrived [ns]
"""

CYCLE_DEFINITION = f"""\
uint64 order             # place among all cycles and events of this recording, from 1; a gap: what is missing was lost
uint64 number            # counts the cycles of this activation, from 1
uint64 draw              # draws of noise since the activation, this cycle's included; 0: the policy was not asked
int64 seed               # seed of the generator that draws the noise
int64 now_ns             # time that the cycle was computed for [ns]
float64 value            # the critic's value of the action; NaN: none
int64 observation_ns     # time taken to build the observation [ns]
int64 policy_ns          # time taken by the policy [ns]
int64 gate_ns            # time taken by the safety gate [ns]
int64 publish_ns         # time taken to publish the command [ns]; -1: not known, as the next four
int64 total_ns           # from taking the newest measurements to the command published [ns]
int64 lateness_ns        # how long after its deadline the cycle began [ns]
int64 slack_ns           # time left until the next deadline [ns]
int64 missed             # deadlines missed since activation
{_INPUTS}\
string policy            # name of the policy that was asked
string mode              # blending, running, holding, fault, inactive
int64[] ages_ns          # age of each term of the contract [ns]; -1: no message
float32[] observation    # what the policy saw, or would have seen
float32[] noise          # (candidates, act_dim) what the policy was given, row by row; empty: it was not asked
float32[] action         # what the policy answered, before blending and limits; empty: nothing
float64[] command        # what was sent; empty: nothing
string[] reasons         # why it holds or is in fault
string[] clips           # limits that changed the command
string[] warnings
"""

EVENT_DEFINITION = f"""\
uint64 order             # as in Cycle
int64 now_ns             # time that the controller was given [ns]; 0: none
int64 seed               # seed given at activation; -1: none
int64 during             # 1: came from another thread in the middle of the next cycle
{_INPUTS}\
string kind              # activate, activate_moving, deactivate, reset_fault, emergency_stop, latch, hold, adopt, lost
string text              # name of the policy in use; latch, hold: the reason; adopt: the bundle (JSON); lost: how much
string[] result          # why the controller refused; empty: done
"""

ACTIVATE, ACTIVATE_MOVING = "activate", "activate_moving"
"""Kinds of event: on a robot at rest, and beside another controller that may move it."""

_CYCLE_HEAD = struct.Struct("<QQQqqdqqqqqqqq")
_EVENT_HEAD = struct.Struct("<Qqqq")


@dataclass(frozen=True, slots=True)
class Inputs:
    """The measurements that one call was given, by their place in the file; each has one entry per topic."""

    topics: tuple[str, ...] = ()
    sequences: tuple[int, ...] = ()
    stamps_ns: tuple[int, ...] = ()
    received_ns: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class CycleTimes:
    """What only the loop around the controller knows [ns]; -1: not known."""

    publish_ns: int = -1
    total_ns: int = -1
    lateness_ns: int = -1
    slack_ns: int = -1
    missed: int = -1
    """Deadlines missed since activation."""


@dataclass(frozen=True, slots=True, eq=False)
class CycleRecord:
    """One step of the controller; the fields are explained in `CYCLE_DEFINITION`."""

    order: int
    number: int
    draw: int
    seed: int
    now_ns: int
    value: float
    timings_ns: tuple[int, int, int]
    """Observation, policy, gate."""
    times: CycleTimes
    inputs: Inputs
    policy: str
    mode: str
    ages_ns: tuple[int, ...]
    observation: FloatArray
    noise: FloatArray
    action: FloatArray
    command: JointArray
    reasons: tuple[str, ...] = ()
    clips: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One call of the controller that is not a step; the fields are explained in `EVENT_DEFINITION`."""

    order: int
    kind: str
    now_ns: int = 0
    seed: int = -1
    during: bool = False
    inputs: Inputs = Inputs()
    text: str = ""
    result: tuple[str, ...] = ()


def encode_cycle(cycle: CycleRecord) -> bytes:
    """Return the message as CDR."""
    times = cycle.times
    head = (cycle.order, cycle.number, cycle.draw, cycle.seed, cycle.now_ns, cycle.value, *cycle.timings_ns)
    last = (times.publish_ns, times.total_ns, times.lateness_ns, times.slack_ns, times.missed)
    writer = CdrWriter()
    writer.raw(_CYCLE_HEAD.pack(*head, *last))
    _write_inputs(writer, cycle.inputs)
    writer.string(cycle.policy)
    writer.string(cycle.mode)
    writer.numbers(cycle.ages_ns, "<i8")
    writer.numbers(cycle.observation, "<f4")
    writer.numbers(cycle.noise, "<f4")
    writer.numbers(cycle.action, "<f4")
    writer.numbers(cycle.command, "<f8")
    for texts in (cycle.reasons, cycle.clips, cycle.warnings):
        writer.strings(texts)
    return writer.message()


def decode_cycle(data: bytes) -> CycleRecord:
    """Return the record of a message.

    Raises:
        ValueError: If the data are not one.
    """
    reader = CdrReader(data)
    order, number, draw, seed, now_ns, value, *spans = reader.fixed(_CYCLE_HEAD)
    inputs = _read_inputs(reader)
    return CycleRecord(
        order,
        number,
        draw,
        seed,
        now_ns,
        value,
        (spans[0], spans[1], spans[2]),
        CycleTimes(*spans[3:]),
        inputs,
        reader.string(),
        reader.string(),
        tuple(reader.numbers("<i8").tolist()),
        reader.numbers("<f4"),
        reader.numbers("<f4"),
        reader.numbers("<f4"),
        reader.numbers("<f8"),
        reader.strings(),
        reader.strings(),
        reader.strings(),
    )


def encode_event(event: EventRecord) -> bytes:
    """Return the message as CDR."""
    writer = CdrWriter()
    writer.raw(_EVENT_HEAD.pack(event.order, event.now_ns, event.seed, event.during))
    _write_inputs(writer, event.inputs)
    writer.string(event.kind)
    writer.string(event.text)
    writer.strings(event.result)
    return writer.message()


def decode_event(data: bytes) -> EventRecord:
    """Return the record of a message.

    Raises:
        ValueError: If the data are not one.
    """
    reader = CdrReader(data)
    order, now_ns, seed, during = reader.fixed(_EVENT_HEAD)
    inputs = _read_inputs(reader)
    return EventRecord(order, reader.string(), now_ns, seed, bool(during), inputs, reader.string(), reader.strings())


def _write_inputs(writer: CdrWriter, inputs: Inputs) -> None:
    writer.raw(_topics(inputs.topics))
    writer.numbers(inputs.sequences, "<u4")
    writer.numbers(inputs.stamps_ns, "<i8")
    writer.numbers(inputs.received_ns, "<i8")


def _read_inputs(reader: CdrReader) -> Inputs:
    topics = reader.strings()
    columns: list[Any] = [reader.numbers(kind).tolist() for kind in ("<u4", "<i8", "<i8")]
    return Inputs(topics, *map(tuple, columns))


@lru_cache(maxsize=16)
def _topics(names: Sequence[str]) -> bytes:
    """Return the names as they are encoded after the fixed numbers, whose size is a multiple of eight."""
    writer = CdrWriter()
    writer.strings(names)
    return writer.message()[4:]


EMPTY = np.empty(0, np.float32)
"""Stands for what a cycle did not have."""
