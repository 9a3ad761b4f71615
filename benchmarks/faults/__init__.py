"""Faults, injected into a running controller and asserted: one table, a robot that misbehaves, an observer that judges.

`table.py` is the table. The suite (tests/runtime and tests/ros2, `test_fault_table.py`), `python -m benchmarks.faults`
and `python -m benchmarks.soak` all run its rows.
"""
