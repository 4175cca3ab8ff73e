"""Training: recipes, distillation, ensembles, and runs that survive interruption."""
