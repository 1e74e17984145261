"""Patches sockets for gevent. Loaded by `-p` (setup.cfg), before any other plugin of pytest imports ssl."""

from gevent import monkey

monkey.patch_all()
