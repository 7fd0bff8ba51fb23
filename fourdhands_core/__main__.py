"""`python -m fourdhands_core`: the command `fourdhands`."""

from .cli import run

run()
