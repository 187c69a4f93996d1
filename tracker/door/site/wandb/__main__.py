"""``python -m wandb``: the command line, in a process that does not see the working folder."""

import os
import sys
from importlib import import_module

_command = import_module("airgap_tracker.ground.launch").own_command("cli.main", *sys.argv[1:])
os.execv(_command[0], _command)
