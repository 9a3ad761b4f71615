"""The DIVO policy as a ROS 2 lifecycle node; `divo-controller` starts it."""
