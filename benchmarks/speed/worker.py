"""One contender in a process of its own: told over standard input what to prepare and when to run a round.

Which newtron it runs is decided by PYTHONPATH. Answers are lines of JSON; whatever libraries print goes to stderr.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import traceback
import warnings
from typing import Any

from speed.families import family_named
from speed.family import Problem, Round, Size


class Contest:
    """What this process holds: one problem at a time."""

    def __init__(self) -> None:
        self.round: Round | None = None

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        if message["do"] == "prepare":
            self.round = None
            gc.unfreeze()
            gc.collect()
            family = family_named(message["family"])
            problem, size = Problem(**message["problem"]), Size(**message["size"])
            self.round = family.prepare(problem, message["contender"], size)
            gc.freeze()  # what is there now need not be looked at before every round
            return {}
        assert self.round is not None, "nothing is prepared"
        gc.collect()  # so that no round pays for another's garbage
        return self.round(message["number"], message["limit"])


def main() -> None:
    warnings.simplefilter("ignore")  # who does not converge is seen from what it reached
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    contest = Contest()
    for line in sys.stdin:
        try:
            reply = contest.answer(json.loads(line))
        except Exception as error:  # told to the race, which goes on without this contender
            traceback.print_exc()
            reply = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:200]}
        answers.write(json.dumps(reply) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
