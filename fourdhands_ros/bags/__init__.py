"""rosbag2 recordings: reading, writing, converting, recording, playing."""
