"""What the library says, to whom, and how to make it be quiet."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from helpers import regression_data, small

import tagix as tx
from tagix import _core


def test_a_fit_says_how_it_ended(caplog: pytest.LogCaptureFixture) -> None:
    x, y = regression_data(300)
    net = small(noise=tx.Homoscedastic(std=0.3))
    with caplog.at_level(logging.INFO, logger="tagix"):
        history = net.fit(x, y, n_epochs=3, progress=False)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("tagix.training", logging.INFO)
    assert record.getMessage().startswith("fit: 3 epochs of 300 rows in ")
    assert record.getMessage().endswith(
        f"mean squared error {history.train_mse[-1]:.4g}, "
        f"log likelihood {history.train_log_likelihood[-1]:.4g}"
    )


def test_debug_has_epochs_and_the_instruction_set(caplog: pytest.LogCaptureFixture) -> None:
    x, y = regression_data(300)
    with caplog.at_level(logging.DEBUG, logger="tagix"):
        small(noise=tx.Homoscedastic(std=0.3)).fit(
            x, y, n_epochs=5, progress=False, callback=lambda record: record.epoch == 1
        )
    messages = [record.getMessage() for record in caplog.records]
    assert messages[0] == f"a network of 3 layers on {_core.backend_name('cpu')}"
    assert messages[1].startswith("epoch 0: 300 rows") and messages[2].startswith("epoch 1: ")
    assert messages[3].startswith("fit: 2 epochs") and messages[3].endswith(
        ", ended by its callback"
    )


@pytest.mark.parametrize("by", ["fit", "update"])
def test_drift_is_told(by: str, caplog: pytest.LogCaptureFixture) -> None:
    generator = np.random.default_rng(0)
    x = generator.standard_normal((400, 3)).astype(np.float32)
    y = x[:, :2] + 0.1 * generator.standard_normal((400, 2))
    net = small(noise=tx.Homoscedastic(std=0.1), forgetting=tx.Forgetting())
    net.fit(x, y, n_epochs=20, progress=False)
    before = net.n_drifts
    with caplog.at_level(logging.INFO, logger="tagix"):
        if by == "fit":
            net.fit(x, y + 5, n_epochs=1, batch_size=8, progress=False)
        else:
            for start in range(0, 80, 8):
                net.update(x[start : start + 8], y[start : start + 8] + 5)
    drifts = [
        m for r in caplog.records if (m := r.getMessage()).startswith("the data have changed")
    ]
    assert net.n_drifts > before
    assert drifts[-1].endswith(f"{net.n_drifts} in all")
    assert sum(int(re.findall(r"found (\d+) times", m)[0]) for m in drifts) == net.n_drifts - before


FIT = """
import sys
import tagix as tx
from tagix import nn
net = nn.Sequential(nn.Linear(1, 1), noise=tx.Homoscedastic(std=0.3), seed=0)
net.fit([[0.0], [1.0]], [0.0, 1.0], n_epochs=2, progress=%s)
"""


def outputs(progress: bool, **environment: str) -> tuple[str, str]:
    """What a program that fits writes to stdout and to stderr."""
    result = subprocess.run(
        [sys.executable, "-c", FIT % progress],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env={**os.environ, **environment},
    )
    return result.stdout, result.stderr


def test_nothing_is_printed_unless_asked() -> None:
    pytest.importorskip("tqdm")
    assert outputs(progress=False) == ("", "")
    # tqdm's own switch silences every bar of a program.
    assert outputs(progress=True, TQDM_DISABLE="1") == ("", "")
    stdout, stderr = outputs(progress=True)
    assert stdout == "" and "row" in stderr
