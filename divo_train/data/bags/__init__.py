"""Bags of ROS 2 messages to datasets: rosbag2 folders and MCAP files, read without ROS."""
