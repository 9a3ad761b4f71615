"""A network that says what it is told to, for tests of whatever uses a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from divo_runtime.errors import BackendError
from divo_runtime.interfaces import TensorSpec, check_feeds
from divo_runtime.observation import FloatArray


class FakeBackend:
    """Answers from a script and remembers what it was fed.

    Args:
        inputs: Tensors that `run` accepts.
        outputs: Tensors that `run` returns.
        script: One entry per call, the last one for ever: outputs by name, or an exception to raise.
    """

    def __init__(
        self,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        script: Sequence[Mapping[str, FloatArray] | Exception],
    ) -> None:
        if not script:
            raise ValueError("script needs at least one entry")
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)
        self._script = tuple(script)
        self._closed = False
        self.feeds: list[dict[str, FloatArray]] = []
        """Copies of the feeds of every call."""

    def run(self, feeds: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """Return the script's next entry.

        Raises:
            BackendError: If the feeds do not match `inputs`, or after `close`.
        """
        if self._closed:
            raise BackendError("The network is closed.", where="FakeBackend")
        check_feeds(self.inputs, feeds, "FakeBackend")
        answer = self._script[min(len(self.feeds), len(self._script) - 1)]
        self.feeds.append({name: array.copy() for name, array in feeds.items()})
        if isinstance(answer, Exception):
            raise answer
        return {spec.name: np.array(answer[spec.name], dtype=np.float32) for spec in self.outputs}

    def close(self) -> None:
        """Refuse every later run."""
        self._closed = True
