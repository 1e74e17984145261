"""Calls: which number was called, who may call, where it goes, and the record of all that."""
