"""Networks of classes in copies, in threads and on the other device."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import numpy as np
from class_likelihoods import Likelihood, classifier, clusters, on_every_head, probabilities
from helpers import Array, in_threads, needs_cuda, on_every_device, same_bits, state_error

import tagix as tx


@on_every_head
def test_any_number_of_threads_gives_the_same_bits(head: Callable[[int], Likelihood]) -> None:
    x, labels = clusters(3000, 40)
    results = []
    for n_threads in (1, 2, 3):
        tx.set_num_threads(n_threads)
        net = classifier(head(40))
        net.fit(x, labels, n_epochs=1, batch_size=1024, progress=False)
        results.append(net.state_dict() | {"p": net.predict_proba(x)})
    assert same_bits(results[0], results[1]) and same_bits(results[0], results[2])


def test_predictions_in_several_threads() -> None:
    net = classifier(tx.HierarchicalSoftmax(5))
    x, _ = clusters(500)
    expected = net.predict_proba(x)
    got: list[Array] = []
    in_threads([lambda: got.append(net.predict_proba(x))] * 4)
    assert len(got) == 4 and all(same_bits({"p": p}, {"p": expected}) for p in got)


@on_every_device
@on_every_head
def test_copies(head: Callable[[int], Likelihood], device: str) -> None:
    net = classifier(head(5), device=device)
    x, labels = clusters(60)
    net.fit(x, labels, n_epochs=1, batch_size=16, progress=False)
    copies = [pickle.loads(pickle.dumps(net)), copy.deepcopy(net)]
    net.update(x, labels)
    for other in copies:
        assert other.likelihood == net.likelihood and other.likelihood.config == head(5).config
        assert other.device == device
        other.update(x, labels)
        assert same_bits(other.state_dict(), net.state_dict())
        assert same_bits({"p": other.predict_proba(x)}, {"p": net.predict_proba(x)})
    drawn = net.draw(1)
    assert drawn.likelihood == net.likelihood
    mean = np.float64(drawn(x).mean)
    assert not drawn(x).epistemic.any()
    p = drawn.predict_proba(x)
    if isinstance(net.likelihood, tx.Remax):
        weight = np.maximum(mean, 0) + 1e-30
        expected = weight / weight.sum(axis=1, keepdims=True)
        on = mean.max(axis=1) > 0.1
        np.testing.assert_allclose(p[on], expected[on], atol=5e-5)
    else:
        expected = probabilities(net.likelihood, mean, np.zeros_like(mean))
        np.testing.assert_allclose(p, expected, rtol=1e-4, atol=1e-7)


@needs_cuda
@on_every_head
def test_the_other_device(head: Callable[[int], Likelihood]) -> None:
    net = classifier(head(5))
    x, labels = clusters(60)
    net.fit(x, labels, n_epochs=1, batch_size=16, progress=False)
    expected = net.predict_proba(x)
    moved = copy.deepcopy(net).to("cuda")
    assert moved.likelihood == net.likelihood
    np.testing.assert_allclose(moved.predict_proba(x), expected, rtol=1e-4, atol=1e-7)
    moved.update(x, labels)
    net.update(x, labels)
    assert state_error(moved.to("cpu").state_dict(), net.state_dict()) < 1e-5
    # Inputs that are there already, and labels that are not.
    on_gpu = classifier(head(5), device="cuda")
    on_cpu = classifier(head(5))
    prediction = on_gpu.update(tx.cuda.Array(x), labels)
    assert isinstance(prediction.mean, tx.cuda.Array)
    on_cpu.update(x, labels)
    on_gpu.fit(tx.cuda.Array(x), labels, n_epochs=1, batch_size=16, progress=False)
    on_cpu.fit(x, labels, n_epochs=1, batch_size=16, progress=False)
    assert state_error(on_gpu.state_dict(), on_cpu.state_dict()) < 1e-5
