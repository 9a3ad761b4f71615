"""Another policy in place of the one that runs: swapped between two cycles, on trial for the first ones, taken back.

The new bundle is loaded, verified, warmed up and timed in a thread of its own while the old one commands. A swap keeps
the controller, and with it the last command sent and the limits around it; so both bundles must have one contract.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec

from divo_controller.cycle import Cycle
from divo_controller.session import Session
from divo_runtime.contract import Contract
from divo_runtime.controller import Mode
from divo_runtime.errors import BundleError

REMARKS = ("description", "environment")
"""Keys of a contract that no command depends on."""


def require_same_contract(old: Contract, new: Contract) -> None:
    """Refuse a contract that would make the same command mean something else.

    Raises:
        BundleError: Naming each key that differs, and both values.
    """
    differences = _differences(msgspec.to_builtins(old), msgspec.to_builtins(new))
    if differences:
        raise BundleError(
            "The new bundle is for another contract.",
            got="; ".join(differences),
            expected=f"the contract '{old.name}' as it runs",
            fix="Deactivate the node first; then a reload takes any bundle.",
        )


def find_blame(cycle: Cycle, period_ns: int) -> str:
    """Return what a cycle has against the policy that was asked in it; empty if nothing.

    Input that is stale or an emergency stop is not the policy's fault: it was not asked then.

    Args:
        cycle: The cycle.
        period_ns: Control period; a call that takes longer has missed its deadline.
    """
    output = cycle.output
    if output.noise is None:
        return ""
    if output.timings.policy_ns > period_ns:
        return f"a call took {output.timings.policy_ns / 1e6:.1f} ms of a period of {period_ns / 1e6:g} ms"
    return "; ".join(output.reasons) if output.mode in (Mode.HOLDING, Mode.FAULT) else ""


class Trial:
    """The first cycles of a new session, with the old one at hand.

    `swap` and `judge` are called by the thread that owns the controller.

    Args:
        old: The session that commands now.
        new: The one to take its place.
        cycles: Length of the trial, >= 1.
        install: Called with the session that commands from now on.
        finish: Called once, with why the old session commands again, or an empty string.
    """

    def __init__(
        self,
        old: Session,
        new: Session,
        cycles: int,
        install: Callable[[Session], None],
        finish: Callable[[str], None],
    ) -> None:
        self.old, self.new = old, replace(new, controller=old.controller)
        self._left = cycles
        self._install, self._finish = install, finish
        self._over = False

    def swap(self) -> None:
        """Let the new session command from the next cycle on, unless the trial is over before it began."""
        if not self._over:
            self._use(self.new)

    def judge(self, cycle: Cycle) -> None:
        """Count a cycle of the new session; bring the old one back if it went wrong."""
        if self._over:
            return
        if blame := find_blame(cycle, self.new.contract.period_ns):
            self.take_back(blame)
        elif cycle.output.noise is not None:
            self._left -= 1
            if self._left == 0:
                self.end()

    def take_back(self, reason: str) -> None:
        """Bring the old session back, unless the trial is over."""
        if not self._over:
            self._use(self.old)
            self._over = True
            self._finish(reason)

    def end(self) -> None:
        """Let the new session stay, unless the trial is over."""
        if not self._over:
            self._over = True
            self._finish("")

    def _use(self, session: Session) -> None:
        session.controller.adopt(session.policy, session.guard)
        self._install(session)


def _differences(old: Any, new: Any, path: str = "") -> list[str]:
    """Name the leaves in which two trees of builtins differ, as `key: old, now new`."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = [key for key in dict.fromkeys((*old, *new)) if path or key not in REMARKS]
        return [line for key in keys for line in _differences(old.get(key), new.get(key), f"{path}.{key}".strip("."))]
    if isinstance(old, list | tuple) and isinstance(new, list | tuple) and len(old) == len(new):
        return [
            line for i, pair in enumerate(zip(old, new, strict=True)) for line in _differences(*pair, f"{path}[{i}]")
        ]
    return [] if old == new else [f"{path}: {old}, now {new}"]
