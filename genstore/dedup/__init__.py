"""Duplicates at three levels: found as records arrive and afterwards, each with the evidence that made it one."""
