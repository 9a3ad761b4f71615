"""One fault on a running rig: inject, watch, ask for a reset, mend, watch the return."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.faults.acts import ACTS
from benchmarks.faults.fault import Fault, Reaction
from benchmarks.faults.judge import Evidence, Seen
from benchmarks.faults.rig import POLL_S, Rig

MARGIN_S = 0.4
"""How much longer than allowed a reaction is waited for, so that a late one is told from none."""

RETURN_S = 5.0
AFTERWARDS_S = 0.1
"""Between the end of a cause and the reset: the latched fault stays."""

INSIST = 10
LATE_MS = 50.0
"""A robot whose own process stood still for so long has made a fault of its own, and the trial proves nothing."""

TRIES = 3


def run_fault(rig: Rig, fault: Fault, seed: int) -> Evidence:
    """Put the rig through one fault; the policy commands before and after.

    If the machine kept the robot from speaking meanwhile, the trial is repeated: then more than the fault was injected.

    Args:
        rig: Of the fault's kind.
        fault: Not one of the controller alone.
        seed: Of what it hits.

    Raises:
        ChildError: If the rig cannot be brought to run again.
    """
    for _ in range(TRIES):
        evidence = _run_once(rig, fault, seed)
        if evidence.robot_late_ms < LATE_MS:
            break
    return evidence


def _run_once(rig: Rig, fault: Fault, seed: int) -> Evidence:
    rig.settle()
    crashes, before = rig.crashes, _count(rig.look(), fault)
    rig.robot.ask(do="report")
    rig.observer.ask(do="begin")
    injected_ns, said = _begin(rig, fault, seed)
    standing = _let_stand(rig, fault, injected_ns)
    robot = rig.robot.ask(do="report") if rig.robot.alive else {"late_ms": 0.0, "sent": 0}
    stood_s = (time.time_ns() - injected_ns) / 1e9
    refused = None
    if fault.reaction in (Reaction.LATCH, Reaction.TRIP):
        granted = [rig.reset()[0] for _ in range(INSIST if fault.act == "insist" else 1)]
        refused = not any(granted)
        standing = rig.look()
    ended_ns = _end(rig, fault, injected_ns)
    latched = None
    if fault.reaction in (Reaction.LATCH, Reaction.TRIP, Reaction.STOP):
        ended_ns, latched = _recover(rig, fault)
    look, _ = rig.wait_for(lambda look: _returned_ns(look, ended_ns), RETURN_S)
    returned_ns = _returned_ns(look, ended_ns)
    at_end = look if not fault.act.startswith(("activate", "kill node")) else standing
    rest_ns = standing["truth_rest_ns" if fault.reaction is Reaction.DIE else "rest_ns"]
    dead = [] if rig.node.alive and rig.crashes == crashes else ["the node's process ended"]
    return Evidence(
        seen=tuple(
            Seen((at_ns - injected_ns) / 1e6, mode, reasons)
            for at_ns, mode, reasons in standing["seen"]
            if at_ns > injected_ns
        ),
        rest_ms=(rest_ns - injected_ns) / 1e6 if rest_ns else None,
        longest_gap_ms=at_end["gap_ns"] / 1e6,
        unsafe=tuple(look["unsafe"] + dead),
        grown=max(_count(standing, fault), _count(look, fault)) - before,
        said=f"{said} {standing['message']} {standing['values'].get('warnings', '')}",
        refused=refused,
        latched_after=latched,
        robot_late_ms=max(robot["late_ms"], rig.robot.ask(do="report")["late_ms"]),
        messages_hz=robot["sent"] / stood_s,
        back_ms=(returned_ns - ended_ns) / 1e6 if returned_ns else None,
    )


def _begin(rig: Rig, fault: Fault, seed: int) -> tuple[int, str]:
    """Inject; return when that was [ns], and what was said about it."""
    if act := ACTS.get(fault.act):
        injected_ns = time.time_ns()
        return injected_ns, act.begin(rig)
    by_itself = fault.reaction is Reaction.HOLD or fault.act == "activate again"
    ends_ms = fault.lasts_ms if by_itself else 0.0  # the robot ends it in time, whoever else is late
    return rig.robot.ask(do="inject", fault=fault.name, seed=seed, ends_ms=ends_ms)["injected_ns"], ""


def _let_stand(rig: Rig, fault: Fault, injected_ns: int) -> dict[str, Any]:
    """Watch until all that must happen has happened, or should have."""
    limits_ms = [fault.lasts_ms, fault.latched_within_ms or 0.0, fault.rest_within_ms or 0.0]
    if fault.reaction in (Reaction.GO_ON, Reaction.RECOVER, Reaction.HOLD):
        limits_ms = [fault.lasts_ms]
    least_ns = injected_ns + round(fault.lasts_ms * 1e6)
    timeout_s = max((injected_ns - time.time_ns()) / 1e9 + max(limits_ms) / 1e3 + MARGIN_S, 0.0)

    def done(look: dict[str, Any]) -> bool:
        modes = {mode for at_ns, mode, _ in look["seen"] if at_ns > injected_ns}
        latched = fault.latched_within_ms is None or modes & {"fault", "inactive"}
        rest = look["truth_rest_ns" if fault.reaction is Reaction.DIE else "rest_ns"]
        rested = fault.rest_within_ms is None or rest > injected_ns
        return bool(time.time_ns() >= least_ns and latched and rested)

    return rig.wait_for(done, timeout_s)[0]


def _end(rig: Rig, fault: Fault, injected_ns: int) -> int:
    """Mend what was broken; return when that was [ns]."""
    if act := ACTS.get(fault.act):
        act.end(rig)
        return time.time_ns()
    ended_ns = int(rig.robot.ask(do="end")["ended_ns"])
    if fault.reaction is Reaction.HOLD:
        return injected_ns + round(fault.lasts_ms * 1e6)
    return ended_ns


def _recover(rig: Rig, fault: Fault) -> tuple[int, bool]:
    """Reset the fault, activate a node that has left that state; return when, and if it was latched till then."""
    if fault.act == "kill robot":  # another robot needs a while to be discovered
        rig.wait_for(lambda look: "stale" not in look["message"], RETURN_S)
    time.sleep(AFTERWARDS_S)
    latched = rig.look()["mode"] in ("fault", "inactive")
    deadline_s = time.monotonic() + RETURN_S
    while True:
        reset_ns = time.time_ns()
        granted, _ = rig.reset()
        if fault.act == "activate again":
            granted = rig.activate()
        if granted or time.monotonic() > deadline_s:
            return reset_ns, latched
        time.sleep(POLL_S)


def _returned_ns(look: dict[str, Any], since_ns: int) -> int:
    """Return when the policy ran again; 0 if it does not."""
    if look["mode"] != "running" or look["sent_ns"] < since_ns:
        return 0
    began = [at_ns for at_ns, mode, _ in look["seen"] if mode == "running" and at_ns > since_ns]
    return int(began[0]) if began else int(look["status_ns"] if look["status_ns"] > since_ns else 0)


def _count(look: dict[str, Any], fault: Fault) -> float:
    return float(look["values"].get(fault.counter, 0.0))
