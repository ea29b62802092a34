"""Set-up of every test process."""

import os
import signal

from hypothesis import settings

# A busy machine takes any time for an example; no test depends on time.
settings.register_profile("any-machine", deadline=None)
settings.load_profile("any-machine")

# Run Triton kernels on the CPU; Triton reads this when they are first imported.
os.environ.setdefault("TRITON_INTERPRET", "1")

# A shell starts background jobs with Ctrl-C ignored, and the processes started by tests would inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
