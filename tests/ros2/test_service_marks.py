"""Episode marks from a real service: rclpy tells of a call over DDS, the importer reads what was told."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy")

import rclpy
from rclpy.clock import Clock
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import qos_profile_system_default
from rclpy.service_introspection import ServiceIntrospectionState
from std_srvs.srv import SetBool, Trigger

from divo_train.data.bags.marks import Mark, mark_reader
from divo_train.data.bags.service_calls import EVENT_SUFFIX, SET_BOOL, TRIGGER, decode_call

PATIENCE_S = 10.0


def events_of(node, kind, request, count):
    """Call a service that both sides tell of; return the events, serialised, in the order of their arrival."""
    told = []
    node.create_subscription(kind.Event, f"mark{EVENT_SUFFIX}", told.append, 10, raw=True)
    server = node.create_service(kind, "mark", lambda request, response: response)
    client = node.create_client(kind, "mark")
    for side in (server, client):
        side.configure_introspection(node.get_clock(), qos_profile_system_default, ServiceIntrospectionState.CONTENTS)
    assert client.wait_for_service(PATIENCE_S)
    future = client.call_async(request)
    deadline_ns = Clock().now().nanoseconds + PATIENCE_S * 1e9
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    while not (future.done() and len(told) >= count) and Clock().now().nanoseconds < deadline_ns:
        executor.spin_once(timeout_sec=0.1)
    return told


@pytest.fixture
def node(domain):
    context = Context()
    rclpy.init(context=context, domain_id=domain)
    node = rclpy.create_node("caller", context=context)
    yield node
    node.destroy_node()
    rclpy.shutdown(context=context)


@pytest.mark.parametrize(
    ("kind", "name", "request_", "mark"),
    [
        (SetBool, SET_BOOL, SetBool.Request(data=True), Mark.BEGIN),
        (SetBool, SET_BOOL, SetBool.Request(data=False), Mark.END),
        (Trigger, TRIGGER, Trigger.Request(), Mark.NEXT),
    ],
)
def test_a_real_call_is_one_mark(node, kind, name, request_, mark):
    told = events_of(node, kind, request_, count=4)
    read = mark_reader(name, ())
    marks = [read(decode_call(raw, name)) for raw in told]
    assert len(told) == 4  # request and response, each as told by client and server
    assert [each for each in marks if each is not Mark.NOTHING] == [mark]
