"""Recorded demonstrations: from bags to datasets and back, and recording them one by one."""
