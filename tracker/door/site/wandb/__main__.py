"""``python -m wandb``: the command line, in a new process without the working folder on its path."""

import os
import sys
from importlib import import_module

_command = import_module("airgap_tracker.ground.launch").own_command("cli.main", *sys.argv[1:])
os.execv(_command[0], _command)
