"""From recorded hands to datasets that train a policy: resampling, actions, formats, checks. Without ROS.

A column that is computed of others needs, in `episodes/columns.py`, a row in `features` and in `_columns`; where it is not
always there, also one in `valid_by`, unless its name begins with `hand.`, which `hand.valid` masks.
A column of a new field of the hands also needs `HAND_FIELDS` and `Hands` of `episodes/recording.py`, `_numbers` of
`fourdhands_ros/episodes/source.py`, and the way back, `pair_of_row` of `episodes/rows.py`.
What a hand has while it is not valid too, such as its age, is not in `HAND_FIELDS`, which are NaN then. It goes beside
`confidence` through `_Rows` of `source.py`, `HandRows`, `Hands` and `resample`, none of which may mask it, and its column is in
`_ALWAYS`.
Whatever changes a row raises `LAYOUT` of
`fourdhands_ros/episodes/options.py`, or exports of before are taken for new ones; `docs/demonstrations.md` lists columns.
LeRobot reads the names of `CODECS` in info.json, and `vcodec` of the command has them.

A format is a row of `FORMATS` here, and of `_WRITERS` in `fourdhands_ros/episodes/whole.py`. Its datasets are recognised there
by `LAST` and `_episodes_of`, and by `is_dataset` of `episodes/check.py`. They are read by `check_dataset` there, by
`ExportedDataset` of `episodes/exported.py` (`__init__`, `columns`, one like `_of_index`), and by `plain_columns` of
`episodes/plain_formats.py`. A package that it needs is in the extra `dataset` of `setup.py`, in `EXTRAS` of `extras.py`, in
`constraints.txt`, in mypy's list of `pyproject.toml` and in README.
The tests' parameter `form` has it, `docs/demonstrations.md` and `docs/view.md` tell of it.
"""

FORMATS = ("lerobot", "hdf5", "npz")
"""What datasets can be; the first is the default."""
