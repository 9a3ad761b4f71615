"""Recordings of a controller: MCAP files that ROS tools open, and from which every cycle can be computed again."""
