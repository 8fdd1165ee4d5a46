"""Where models come from, what they are shown, and which deviations are known."""
