"""Tune a pretrained model: `python -m train.tune SPEC [--base DIR] [--out DIR]`.

SPEC is an experiment that defines `tune_spec()`: as for `train.pretrain`, with a field `base`, the
spec it starts from, whose parameters are looked for where `train.pretrain` leaves them. --base is
the folder of another run, or OUT/stages/<identity> of `experiments.run`: then the parameters found
there, and not the spec's `base`, are in what the run is known by.
"""

import dataclasses

from train.damage import noted
from train.pretrain import folder, launched, peers, run, train
from train.step import stacked
from train.store import load_params


def main() -> None:
    peers()
    spec, options = launched(
        "tune_spec", __doc__, base="folder to start from; default the spec's own"
    )
    base = options.base or folder(spec.base)
    if not (base / "params").is_dir():
        raise ValueError(
            f"no parameters in {base}; run `python -m train.pretrain` first, or give the folder "
            "of a finished run as --base"
        )
    params = load_params(base, stacked(spec.model))
    if options.base is not None:
        found = f"parameters of fingerprint {noted(params)['fingerprint']:08x}"
        spec = dataclasses.replace(spec, base=found)
    train(spec, options.out or folder(spec), options, params)


if __name__ == "__main__":
    run(main, "tune_spec")
