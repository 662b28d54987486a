"""Training of the mask network, echoseg_ros/masks/network/grouping.npz: views of simulated rooms, training, evaluation.

From the repository's root, in the environment of `make setup`, with PYTHONPATH=tools:

    python -m train_masks.make_views VIEWS --first 51000 --rooms 100     a few rendered views of many rooms
    python -m train_masks.make_maps MAPS --first 50000 --rooms 20        views of maps without a depth sensor
    python -m train_masks.train A.npz --views VIEWS --maps MAPS --minutes 70 --resume BEFORE.npz --rate 0.002 --bfloat16
    python -m train_masks.train B.npz --views VIEWS --maps MAPS --minutes 52 --resume A.checkpoint --rate 0.0017 --seed 1 --bfloat16
    python -m train_masks.average MEAN.npz A.npz B.npz
    python -m train_masks.train C.npz --views VIEWS --maps MAPS --minutes 85 --resume B.checkpoint --rate .0017 --seed 21 --bfloat16
    python -m train_masks.evaluate --weights C.npz --views OTHER_VIEWS --maps OTHER_MAPS

BEFORE.npz holds the weights of an earlier training; without `--resume`, a training starts with random weights. The second
training started from a checkpoint of the first one, a quarter of an hour after its start, and ran beside it on another core.
Its weights B.npz were kept: the mean was not better, unlike in earlier trainings. The third training continued from B with
more rooms. `--bfloat16` needs a processor with bfloat16.

Seeds of rooms: below 50000 for benchmarks, 50000 to 59999 for training, from 90000 for evaluation.
"""
