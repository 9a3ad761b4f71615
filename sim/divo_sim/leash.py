"""`python -m divo_sim.leash PARENT MODULE ARGUMENTS`: run a module that must not outlive the process that started it.

A controller whose validation was killed would go on commanding. The kernel sends it SIGTERM when its parent dies,
however it dies, and it then stops as it does for a person. Source: prctl(2), PR_SET_PDEATHSIG.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1


def leashed(arguments: Sequence[str]) -> list[str]:
    """Return the command that runs `python -m ARGUMENTS` on a leash of this process.

    Start it from a thread that lives as long as the process: the kernel takes the end of that thread for its death.
    """
    return [sys.executable, "-m", "divo_sim.leash", str(os.getpid()), *arguments]


def main() -> None:
    """Tie this process to its parent, and become the module."""
    parent, module, *arguments = sys.argv[1:]
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):  # it died in the meantime
        sys.exit(f"The process that started {module} has ended.")
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
