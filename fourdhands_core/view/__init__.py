"""Hands seen in a browser, live or recorded: the 3-D scene, the page around it, and a report of one file; knows no ROS."""
