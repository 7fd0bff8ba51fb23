"""What a test is to come to each time, whatever ran before it: hypothesis' examples, torch's random numbers and threads,
the environment; and `closing`, by which it leaves nothing open.

Both conftest.py import it. `--hypothesis-profile search` looks for other examples each time.
"""

import contextlib
import os
import sys

import pytest
from hypothesis import HealthCheck, settings

# No example has a deadline: the machine may be busy. Where each run looked for others, it would now and then refuse a change
# for what another has broken.
settings.register_profile("fourdhands", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("search", deadline=None, derandomize=False, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fourdhands")


@pytest.fixture(autouse=True)
def _torch_as_at_first():
    """Its generator begins anew, and who changes the number of its threads does so for one test."""
    torch = sys.modules.get("torch")
    if not hasattr(torch, "get_num_threads"):
        yield
        return
    threads = torch.get_num_threads()
    torch.manual_seed(0)
    yield
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _environment_as_before():
    """What a program that a test runs in this process leaves in the environment, as hands_camera does, is no other test's:
    Fast DDS, for one, would hold more in its shared memory, and lose less."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    for name, value in before.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


@pytest.fixture
def closing():
    """Closes a thing after the test: gives it back."""
    with contextlib.ExitStack() as stack:
        yield lambda thing: stack.enter_context(contextlib.closing(thing))
