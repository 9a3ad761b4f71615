"""Waiting in a ROS callback without keeping the executor from other callbacks."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from typing import Any, TypeVar

from rclpy.task import Future

T = TypeVar("T")


class Outcome:
    """A result that another thread will give; `await outcome.future` in a callback of the node's executor.

    Args:
        node: Whose executor is woken when the result is there.
    """

    def __init__(self, node: Any) -> None:
        self._node = node
        self.future: Any = Future()

    def give(self, result: object) -> None:
        """Give the result."""
        self.future.set_result(result)
        self._node.executor.wake()

    def fail(self, error: Exception) -> None:
        """Give an exception instead, which the waiting callback raises."""
        self.future.set_exception(error)
        self._node.executor.wake()


async def run_aside(node: Any, work: Callable[[], T]) -> T:
    """Run `work` in a thread of its own and return what it returns, or raise what it raises.

    The callback that awaits this needs a callback group of its own, or it keeps the others of its group waiting.
    """
    outcome = Outcome(node)

    def run() -> None:
        try:
            outcome.give(work())
        except Exception as error:  # it belongs to whoever waits
            outcome.fail(error)

    Thread(target=run, name="divo_aside", daemon=True).start()
    result: T = await outcome.future
    return result
