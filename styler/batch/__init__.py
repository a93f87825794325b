"""Whole folders: what is to be made, a journal of it, and whoever makes it."""
