"""Model folders, their labels and their networks."""
