"""Hand datasets, each in its own published layout, read in place and given in one convention.

A new one is a module with a `HandDataset` of `learning/datasets/frames.py`, as `learning/datasets/freihand.py` is; in COCO's
layout like `_People` of `learning/datasets/whole_body.py`; of videos like `learning/datasets/dexycb.py`, with `sequences` and
`frame_rate`, without which it is single images. MANO's parameters come by `ManoTruth` of `learning/datasets/mano.py`, and
`of_mano` is False where the truth is not MANO's; the order of joints stands in `learning/datasets/joint_orders.py`. It needs
a row of the registry, a fixture in the published layout with a test in `test_datasets_single_hand.py`, `test_datasets_2d.py`
(of points alone) or a file of its own and the list of `test_datasets_check.py` (of videos and both hands), where the paper
trains on it a share in `config/train/image_paper.yaml`: `sources`, and a line in `docs/training.md`. `fourdhands evaluate
--real` takes two sets of photographs, which `learning/evaluation/clips.py` names.
"""
