"""File formats: bags, PLY maps, COLMAP models, data-set scenes, RGB-D folders. Nothing here needs ROS."""
