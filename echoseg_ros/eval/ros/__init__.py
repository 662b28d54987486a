"""Benchmark of the live nodes over ROS 2."""
