"""Kill a run of a folder at many random moments; each time check, go on, and compare all bytes.

python tests/benchmarks/kill.py [--moments 20] [--seed 0]
"""

import argparse
import random
import signal
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from conftest import save_random_prior
from killing import (
    COUNT,
    check_whole,
    command_of,
    contents,
    make_pictures,
    run_until,
    run_whole,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    moments = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        prior = save_random_prior(root / "prior")
        pictures = make_pictures(root / "in")
        whole = command_of(pictures, root / "whole", prior)
        assert run_whole(whole) == 0
        expected = contents(root / "whole")
        stopped = 0
        for k in range(options.moments):
            out = root / f"out-{k}"
            command = command_of(pictures, out, prior)
            target, delay = moments.randrange(COUNT), moments.uniform(0, 0.1)
            killed = run_until(command, out, target, delay, signal.SIGKILL)
            left = check_whole(out)
            temporary = len(list(out.glob(".reddiff-*")))
            assert run_whole(command) == 0
            assert check_whole(out) == COUNT
            assert contents(out) == expected
            stopped += killed
            print(
                f"moment {k}: {left} of {COUNT} pictures, {temporary} temporary files, "
                f"{'killed' if killed else 'was done already'}; finished, all bytes equal"
            )
        print(f"{stopped} of {options.moments} runs were killed; 0 damaged files")


if __name__ == "__main__":
    main()
