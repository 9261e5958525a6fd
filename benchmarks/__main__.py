"""Benchmarks of tagix, in one process with their opponents.

``python -m benchmarks cpu``: speed of a training step and of a prediction.
``python -m benchmarks convolutions``: the same of convolutional networks, beside PyTorch.
``python -m benchmarks gpu``: the same on a GPU, a whole training, and sampling.
``python -m benchmarks quality``: a diffusion model beside one trained by back-propagation.
``python -m benchmarks uncertainty``: how far variances can be trusted; the table of
docs/uncertainty.md.
``python -m benchmarks classes``: networks of classes beside softmax and Adam; the tables of
docs/classification.md.
``python -m benchmarks streams``: rows learned one at a time, as dicts, and streams that change,
beside River's models.
``python -m benchmarks everyday``: the regressor on random tables of counters, flags, sentinels...
``python -m benchmarks merging``: networks merged from shards; the tables of docs/merging.md.
``python -m benchmarks novelty``: uncertainty between and beyond the rows of a fit, beside
Hamiltonian Monte Carlo and Gaussian processes.
``python -m benchmarks topologies``: residual and two-input networks beside a plain one, on UCI
sets; the table of docs/how-to/networks.md.

What counts is the ratio of the times, by rounds that alternate between the contenders; the seconds
of a shared machine mean little.
"""

from __future__ import annotations

from benchmarks.command_line import make_parser


def main() -> None:
    """Parse the command line, measure and print."""
    arguments = make_parser(__doc__ or "").parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
