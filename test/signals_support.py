"""Signals that a shell's background or nohup has ignored, heard again: processes that tests start inherit who ignores what."""

import signal

signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
