"""Fixtures and options that every room's tests share."""

import os
from pathlib import Path

import pytest


def pytest_addoption(parser):
    parser.addoption("--cases", type=int, help="test/fuzz: how many inputs to try in all")
    parser.addoption("--cases-out", type=Path, help="test/fuzz: JSON file for what came of them")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real videos and photos: $FOURDHANDS_SHARED/data/real, or ../shared/data/real beside the repository."""
    shared = os.environ.get("FOURDHANDS_SHARED")
    folder = Path(shared) if shared else Path(__file__).resolve().parents[2] / "shared"
    folder = folder / "data" / "real"
    if not folder.is_dir():
        pytest.skip(f"no real videos and photos at {folder}: set FOURDHANDS_SHARED to the folder that holds data/real")
    return folder
