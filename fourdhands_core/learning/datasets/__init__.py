"""Hand datasets, each in its own published layout, read in place and given in one convention.

A new one is a module with a `HandDataset` of `learning/datasets/frames.py`, as `learning/datasets/freihand.py` is; in COCO's
layout like `_People` of `learning/datasets/whole_body.py`; of videos like `learning/datasets/dexycb.py`, with `sequences` and
`frame_rate`, without which it is single images. MANO's parameters come by `ManoTruth` of `learning/datasets/mano.py`, and
`of_mano` is False where the truth is not MANO's; the order of joints stands in `learning/datasets/joint_orders.py`.

It needs a row of the registry, a line in `docs/training.md`, and a fixture in the published layout, whose test is in
`test_datasets_single_hand.py`, in `test_datasets_2d.py` where it has points alone, or, with videos and both hands, in a file of
its own and in the list of `test_datasets_check.py`. Where the paper trains on it, it has a share in `sources` of
`config/train/image_paper.yaml`. `fourdhands evaluate --real` takes two sets of photographs, which
`learning/evaluation/clips.py` names.
"""
