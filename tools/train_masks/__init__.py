"""How echoseg_ros/masks/network/grouping.npz was made: views of simulated rooms, the training, and what it is judged by.

From the repository's root, in the environment of `make setup`, with PYTHONPATH=tools:

    python -m train_masks.make_views VIEWS --first 51000 --rooms 100     pictures of many rooms, a few of each
    python -m train_masks.make_maps MAPS --first 50000 --rooms 20        what maps made without a depth sensor show
    python -m train_masks.train A.npz --views VIEWS --maps MAPS --minutes 70 --resume BEFORE.npz --rate 0.002 --bfloat16
    python -m train_masks.train B.npz --views VIEWS --maps MAPS --minutes 52 --resume A.checkpoint --rate 0.0017 --seed 1 --bfloat16
    python -m train_masks.average MEAN.npz A.npz B.npz
    python -m train_masks.train C.npz --views VIEWS --maps MAPS --minutes 85 --resume B.checkpoint --rate .0017 --seed 21 --bfloat16
    python -m train_masks.evaluate --weights C.npz --views OTHER_VIEWS --maps OTHER_MAPS

BEFORE.npz are the weights of an earlier training; without `--resume` one starts from nothing. The second training starts from
a checkpoint of the first, a quarter of an hour after it, and runs beside it on another core. B.npz was kept: the mean, which
was better in trainings before, was not. The third went on from it, with more rooms. `--bfloat16` is for processors that have it.

Seeds of rooms: below 50000 for benchmarks, 50000 to 59999 for the training, 90000 and up to judge it by.
"""
