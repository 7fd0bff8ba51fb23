"""`python -m fourdhands_ros`: the node without a colcon workspace."""

import sys

from .node import main

sys.exit(main())
