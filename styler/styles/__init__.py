"""Styles: pictures and saved statistics, alone or blended."""
