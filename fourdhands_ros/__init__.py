"""The ROS 2 side of FourDHands: the node, its parameters, topics and conversions."""

from pkgutil import extend_path

from .executable import is_a_program, starting

# In a colcon workspace the compiled messages (`fourdhands_ros.msg`) are installed in a package of the same name as this
# one. Both are one package to Python, also when this directory comes first on the path.
__path__ = extend_path(__path__, __name__)

if is_a_program():  # what `python -m` imports next takes seconds, in which a signal would be a traceback
    starting()
