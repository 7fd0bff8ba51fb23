"""The ROS 2 side of FourDHands: the node, its parameters, topics and conversions."""

from pkgutil import extend_path

# In a colcon workspace the compiled messages (`fourdhands_ros.msg`) are installed in a package of the same name as this
# one. Both are one package to Python, also when this directory comes first on the path.
__path__ = extend_path(__path__, __name__)
