"""From face crops to class probabilities: one network, or an ensemble of several."""
