"""A server of `launch.warm` whose children do, instead of a run, whatever one could do to the others."""

import json
import os
import random
import signal
import sys
from pathlib import Path

import numpy as np
import torch

from scratchlab.launch import warm


def state() -> dict[str, str]:
    return {
        "seeded": str(torch.initial_seed() == 1),  # as it comes, torch is seeded by chance
        "dtype": str(torch.get_default_dtype()),
        "threads": str(torch.get_num_threads()),
        "deterministic": str(torch.are_deterministic_algorithms_enabled()),
        "environment": os.environ.get("BECOMING", ""),
        "folder": os.getcwd(),
        "handlers": str([signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]),
        "blocked": str(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    }


def become(words: list[str]) -> None:
    match words:
        case ["meddle"]:
            torch.manual_seed(1)
            np.random.seed(1)
            random.seed(1)
            torch.set_default_dtype(torch.float64)
            torch.set_num_threads(torch.get_num_threads() + 1)
            torch.use_deterministic_algorithms(True)
            os.environ["BECOMING"] = "meddled"
            os.chdir("/")
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os._exit(3)
        case ["killed"]:
            os.kill(os.getpid(), signal.SIGKILL)
        case ["kill the server"]:
            os.kill(os.getppid(), signal.SIGKILL)
            os._exit(0)
        case ["state", path]:
            Path(path).write_text(json.dumps(state()))
            os._exit(0)


warm.become = become  # type: ignore[assignment]
warm.serve(int(sys.argv[1]))
