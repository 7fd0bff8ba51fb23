"""The errors a user can cause; each message says what was given, what was expected and what to do."""


class FourDHandsError(Exception):
    """Base of every error that a user's input can cause. Names of files that are not UTF-8 are escaped in its words, which go
    to libraries that take UTF-8 alone, as ROS's log."""

    def __str__(self) -> str:
        return super().__str__().encode("utf-8", "backslashreplace").decode()


class InputError(FourDHandsError):
    """An image, video, camera or parameter is malformed or out of range."""


class AssetError(FourDHandsError):
    """A hand model file is missing, unreadable, unsafe or not in MANO's format."""


class CheckpointError(FourDHandsError):
    """A weights file is missing, truncated, unsafe, of another configuration, or holds values that are not finite."""


class DependencyError(FourDHandsError):
    """A package that the chosen function needs is not installed."""


class DatasetError(FourDHandsError):
    """A dataset's folder is not laid out as published, or one of its files is missing or unreadable."""
