"""The DIVO policy as a ROS 2 lifecycle node. Start it with `divo-controller` or `ros2 run divo_controller divo_controller`."""
