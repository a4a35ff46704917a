"""From labelled images to a checked file within a budget of time and size."""
