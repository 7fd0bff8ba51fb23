"""A robot's arm and hand follow a human's: the node `hands_teleop`. What it does with them is `fourdhands_core.teleop`."""
