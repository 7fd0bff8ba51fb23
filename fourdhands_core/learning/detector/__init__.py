"""The detector's landmark network tuned on rendered hands, and held to what it says of real ones."""
