"""A robot that is not there: an arm with a hand or a gripper over a table with cubes, in MuJoCo's physics."""
