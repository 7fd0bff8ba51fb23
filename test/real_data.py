"""The fixture `real_data`: where the real videos and photos are. Both conftest.py import it."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real videos and photos: $FOURDHANDS_SHARED/data/real, or ../shared/data/real beside the repository."""
    shared = os.environ.get("FOURDHANDS_SHARED")
    folder = Path(shared) if shared else Path(__file__).resolve().parents[2] / "shared"
    folder = folder / "data" / "real"
    if not folder.is_dir():
        pytest.skip(f"no real videos and photos at {folder}: set FOURDHANDS_SHARED to the folder that holds data/real")
    return folder
