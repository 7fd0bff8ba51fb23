"""Sources of the page in a browser that need ROS: recordings by their index, and topics of running nodes."""
