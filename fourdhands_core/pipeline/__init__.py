"""From a frame to a HandPairEstimate."""
