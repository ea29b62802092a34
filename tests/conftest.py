"""Set-up of every test process."""

import os
import signal

# Run Triton kernels on the CPU; Triton reads this when they are first imported.
os.environ.setdefault("TRITON_INTERPRET", "1")

# A shell starts background jobs with Ctrl-C ignored, and the processes started by tests would inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
