"""What a test is to come to each time, whatever ran before it: hypothesis' examples, torch's random numbers and threads.

Both conftest.py import it. `--hypothesis-profile search` looks for other examples each time.
"""

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
