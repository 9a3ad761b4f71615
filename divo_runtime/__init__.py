"""DIVO on a robot: contract, observation, policy, safety gate and control loop. No torch, no ROS."""

__version__ = "0.1.0"
