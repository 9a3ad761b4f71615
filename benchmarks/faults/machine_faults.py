"""Rows of the table: what can be wrong with robot, policy, bundle, processes and clocks."""

from __future__ import annotations

import math

from benchmarks.faults import spoilers
from benchmarks.faults.fault import AGE, SEEN, STALL, Fault, Reaction
from benchmarks.faults.networks import TRAP


def _robot() -> list[Fault]:
    return [
        Fault(
            "a joint beyond its soft limit",
            "joint c is held 0.05 rad outside for 1 s",
            Reaction.GO_ON,
            act="hold",
            hold={"c": 0.15},
            lasts_ms=1000.0,
        ),
        Fault(
            "a joint beyond its hard limit",
            "joint a is held 0.1 rad outside",
            Reaction.TRIP,
            act="hold",
            hold={"a": 1.8},
            reason="measured position",
        ),
        Fault(
            "a joint faster than its hard limit",
            "joint b's sensor says 2.5 rad/s",
            Reaction.TRIP,
            act="hold",
            spin={"b": 2.5},
            reason="measured velocity",
        ),
        Fault(
            "the robot's process is killed and restarted",
            "SIGKILL",
            Reaction.LATCH,
            act="kill robot",
            reason="stale",
            within_ms=SEEN + AGE,
            only="node",
        ),
    ]


def _policy() -> list[Fault]:
    return [
        Fault(
            "the policy gives NaN for a moment",
            "a trap in the network, for 0.25 s",
            Reaction.HOLD,
            spoilers.set_range(0, TRAP + 1.0),
            reason="not finite",
            lasts_ms=250.0,
        ),
        Fault(
            "the policy gives NaN",
            "a trap in the network",
            Reaction.LATCH,
            spoilers.set_range(0, TRAP + 1.0),
            reason="not finite",
            counter="count.nonfinite",
        ),
        Fault(
            "the backend raises",
            "an index out of range in the network",
            Reaction.LATCH,
            spoilers.set_range(2, TRAP + 1.0),
            reason="policy failed",
            counter="count.policy_errors",
        ),
        Fault(
            "the policy takes 10 periods",
            "a loop of 80 ms in the network, in every cycle",
            Reaction.RECOVER,
            spoilers.set_range(1, TRAP + 80.0),
            counter="missed_deadlines",
            lasts_ms=400.0,
            gap_ms=180.0,  # one loop, which lasts 0.7 to 1.8 times what it should, as the processor is fast or shared
            least_gap_ms=50.0,
            only="node",
        ),
        Fault(
            "the policy hangs",
            "a loop of 1 s in the network",
            Reaction.STOP,
            spoilers.set_range(1, TRAP + 1000.0),
            act="activate again",
            reason="control thread",
            within_ms=SEEN + STALL,
            lasts_ms=20.0,
            gap_ms=STALL + 50.0,
            back_ms=2000.0,  # it hangs for a second, and until then nothing else can be asked
            only="node",
        ),
    ]


def _bundle() -> list[Fault]:
    ways = (
        ("truncated", "its network cut to half", "truncate bundle", "changed since its export"),
        ("swapped", "another network of the same name", "swap bundle", "changed since its export"),
        ("removed", "its folder renamed", "remove bundle", "no bundle folder"),
    )
    return [
        Fault(
            f"the bundle is {word} under the node",
            f"{how}, then a reload",
            Reaction.GO_ON,
            act=act,
            says=says,
            only="node",
            lasts_ms=100.0,
        )
        for word, how, act, says in ways
    ]


def _process() -> list[Fault]:
    return [
        Fault(
            "the controller is killed",
            "SIGKILL while the robot moves",
            Reaction.DIE,
            act="kill node",
            within_ms=100.0 + SEEN,
            only="node",
            gap_ms=math.inf,
            back_ms=20_000.0,  # another process starts
            soak=False,
        ),
        Fault(
            "the disk is full while recording",
            "the recording may not grow any more (RLIMIT_FSIZE)",
            Reaction.GO_ON,
            act="fill disk",
            says="nothing is recorded any more",
            only="node",
            lasts_ms=2500.0,
            rig="recording",
            soak=False,
        ),
        Fault(
            "simulated time jumps back",
            "/clock set back by 5 s",
            Reaction.RECOVER,
            act="clock back",
            counter="count.clock_set_back",
            only="node",
            rig="simulated time",
            soak=False,
        ),
        Fault(
            "simulated time jumps ahead",
            "/clock set ahead by 5 s",
            Reaction.RECOVER,
            act="clock ahead",
            only="node",
            rig="simulated time",
            soak=False,
        ),
        Fault(
            "the controller's clock is set back",
            "by 5 s, robot and controller alike",
            Reaction.RECOVER,
            act="clock back",
            counter="clock_set_back",
            only="controller",
        ),
        Fault(
            "an emergency stop",
            "on the topic emergency_stop",
            Reaction.STOP,
            act="emergency stop",
            reason="emergency stop",
        ),
        Fault(
            "a reset while the cause stands",
            "~/reset_fault ten times while a joint is missing",
            Reaction.LATCH,
            spoilers.drop_joint,
            act="insist",
            reason="joint missing",
        ),
    ]


def machine_faults() -> tuple[Fault, ...]:
    """Return them."""
    return (*_robot(), *_policy(), *_bundle(), *_process())
