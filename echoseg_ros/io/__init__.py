"""Files and bags; nothing here needs ROS installed."""
