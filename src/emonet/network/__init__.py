"""Networks and ensembles: from face crops to class probabilities."""
