"""How good a recognizer is: figures per class, with their uncertainty."""
