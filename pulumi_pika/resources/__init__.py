"""The resources that a program declares, and their arguments."""
