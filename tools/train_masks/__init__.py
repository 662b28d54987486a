"""How echoseg_ros/masks/grouping.npz was made: views of simulated rooms, the training, and what it is judged by.

From the repository's root, in the environment of `make setup`, with PYTHONPATH=tools:

    python -m train_masks.make_views VIEWS --first 51000 --rooms 100     pictures of many rooms, a few of each
    python -m train_masks.make_maps MAPS --first 50000 --rooms 20        what maps made without a depth sensor show
    python -m train_masks.train WEIGHTS.npz --views VIEWS --maps MAPS --minutes 62
    python -m train_masks.train SECOND.npz --views VIEWS --maps MAPS --minutes 15 --resume WEIGHTS.checkpoint --rate 0.0012 --seed 1
    python -m train_masks.average GROUPING.npz WEIGHTS.npz SECOND.npz
    python -m train_masks.evaluate --weights GROUPING.npz --views OTHER_VIEWS --maps OTHER_MAPS

Seeds of rooms: below 50000 for benchmarks, 50000 to 59999 for the training, 90000 and up to judge it by.
"""
