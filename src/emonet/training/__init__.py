"""How a network learns: recipes say what to do, fit does it and survives interruption."""
