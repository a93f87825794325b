"""Regions: which style goes where, by masks of the content and of the styles."""
