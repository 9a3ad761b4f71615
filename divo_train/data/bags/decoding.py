"""Serialised messages to objects with the fields of their ROS type.

What every ROS 2 has is known; what a bag defines is learned from it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from divo_runtime.recording.history import Decode as Decode
from divo_train.data.bags.parts import BagError, BagTopic
from divo_train.data.bags.service_calls import EVENT_TYPES, decode_call

HEADER = "std_msgs/msg/Header"


class CountingDecoder:
    """Decodes messages of one type; what cannot be decoded becomes None, and is counted.

    Args:
        decode: Decodes a message, or raises.
    """

    def __init__(self, decode: Callable[[bytes], Any]) -> None:
        self._decode = decode
        self.failures = 0
        """Messages that could not be decoded."""

    def __call__(self, raw: bytes) -> Any:
        """Return the message, or None."""
        try:
            return self._decode(raw)
        except Exception:  # the deserialiser raises many kinds; the failure is counted and reported
            self.failures += 1
            return None


class MessageTypes:
    """The message types of one bag: those that every ROS 2 has, and those that the bag defines."""

    def __init__(self) -> None:
        self._known: Typestore = get_typestore(Stores.ROS2_JAZZY)

    def has_header(self, name: str) -> bool:
        """Return whether messages of a known type begin with a header."""
        if name in EVENT_TYPES:
            return False
        fields = self._known.fielddefs[name][1]
        return bool(fields) and fields[0][1] == (Nodetype.NAME, HEADER)

    def decoder(self, topic: BagTopic) -> CountingDecoder:
        """Return what decodes messages of a topic.

        Raises:
            BagError: If neither ROS nor the bag defines the type, or the bag defines it otherwise than ROS does.
        """
        if topic.type in EVENT_TYPES:  # not message types, so bags and type stores name and define them in many ways
            return CountingDecoder(partial(decode_call, kind=topic.type))
        if topic.type not in self._known.fielddefs:
            self._learn(topic)
        elif topic.digest.startswith("RIHS01_") and topic.digest != self._known.hash_rihs01(topic.type):
            raise BagError(
                f"The bag's definition of {topic.type} is not the one of ROS 2.",
                where=f"topic {topic.name}",
                got=topic.digest,
                expected=self._known.hash_rihs01(topic.type),
                fix="Record the topic with the standard message type.",
            )
        store, name = self._known, topic.type

        def decode(raw: bytes) -> Any:
            return store.deserialize_cdr(raw, name)

        return CountingDecoder(decode)

    def _learn(self, topic: BagTopic) -> None:
        if not topic.definition:
            raise BagError(
                f"The bag does not define the message type {topic.type}.",
                where=f"topic {topic.name}",
                got="no definition in the bag, and none in ROS 2's standard packages",
                fix="Record with MCAP storage, which keeps definitions, or leave the topic out of the contract.",
            )
        try:
            types = get_types_from_msg(topic.definition, topic.type)
            known = self._known.fielddefs
            self._known.register({name: fields for name, fields in types.items() if name not in known})
        except Exception as error:  # the parser raises many kinds
            raise BagError(
                f"The bag's definition of {topic.type} cannot be read.", where=f"topic {topic.name}", got=str(error)
            ) from error
