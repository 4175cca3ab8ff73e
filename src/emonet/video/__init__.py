"""Films and cameras: one face track per person, with labels that are smoothed over time."""
