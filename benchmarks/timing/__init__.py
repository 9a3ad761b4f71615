"""How punctual the controller node is: wake-up, inference, compute, end to end and observation age, through real DDS.

`python -m benchmarks.timing --help` explains the settings, docs/timing.md what is measured and how.
"""
