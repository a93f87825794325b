"""Which patches of photographs excite the units of a network most, after Zeiler & Fergus."""
