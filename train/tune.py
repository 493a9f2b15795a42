"""Tune a pretrained model: `python -m train.tune SPEC [--base DIR] [--out DIR]`.

SPEC is an experiment that defines `tune_spec()`: as for `train.pretrain`, with a field `base`, the
spec it starts from, whose parameters are looked for where `train.pretrain` leaves them, or in
--base.
"""

from model.lm import shapes
from train.pretrain import folder, launched, peers, run, train
from train.store import load_params


def main() -> None:
    peers()
    spec, options = launched("tune_spec", "base", "out")
    base = options.base or folder(spec.base)
    if not (base / "params").is_dir():
        raise ValueError(
            f"no parameters in {base}; run `python -m train.pretrain` first, or give the folder "
            "of a finished run as --base"
        )
    params = load_params(base, shapes(spec.model))
    train(spec, options.out or folder(spec), options, params)


if __name__ == "__main__":
    run(main)
