"""pocketbench: measure machine-learning models on the devices they ship to."""
