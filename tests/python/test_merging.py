"""Products and quotients of networks against conjugate Gaussians in float64."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from helpers import (
    Array,
    on_every_device,
    regression_data,
    relative_error,
    same_bits,
    small,
    state_error,
    unchanged,
)

import tagix as tx
from tagix import nn

NOISE_STD = 0.5
# Unbounded first-order changes, one row at a time: Bayes' rule where the posterior is diagonal.
# (The information rule learns less of a row whose prediction is more uncertain than its noise.)
EXACT = tx.Capped(cap=1e-6)


def one_hot_net(n_inputs: int = 6, n_outputs: int = 2, **options: Any) -> nn.Sequential:
    """A linear map of one-hot inputs: each weight is a Gaussian mean, observed by itself."""
    return nn.Sequential(
        nn.Linear(n_inputs, n_outputs, bias=False),
        rule=EXACT,
        noise=tx.Homoscedastic(std=NOISE_STD),
        seed=3,
        **options,
    )


def one_hot_rows(n_rows: int, seed: int, n_inputs: int = 6) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    x = np.eye(n_inputs)[rng.integers(n_inputs, size=n_rows)] * rng.uniform(0.5, 2, (n_rows, 1))
    return x.astype(np.float32), rng.normal(1, 1, (n_rows, 2)).astype(np.float32)


def regression_posterior(prior: nn.Sequential, x: Array, y: Array) -> tuple[Array, Array]:
    """Bayesian linear regression in float64 with whole matrices: mean and variance by weight."""
    state = {key: value.astype(np.float64) for key, value in prior.state_dict().items()}
    means, variances = [], []
    for output in range(y.shape[1]):
        mean, var = state["0.weight.mean"][output], state["0.weight.var"][output]
        covariance = np.linalg.inv(np.diag(1 / var) + x.T.astype(np.float64) @ x / NOISE_STD**2)
        means.append(covariance @ (mean / var + x.T @ y[:, output] / NOISE_STD**2))
        variances.append(np.diag(covariance))
    return np.array(means), np.array(variances)


def learn(net: nn.Sequential, x: Array, y: Array, n_epochs: int = 1) -> nn.Sequential:
    net.fit(x, y, n_epochs=n_epochs, batch_size=1, progress=False)
    return net


@on_every_device
@pytest.mark.parametrize("n_shards", [1, 2, 5])
def test_product_is_bayes_rule(n_shards: int, device: str) -> None:
    prior = one_hot_net(device=device)
    x, y = one_hot_rows(60, seed=0)
    posteriors = [
        learn(copy.deepcopy(prior), x[i::n_shards], y[i::n_shards]) for i in range(n_shards)
    ]
    with unchanged(prior), unchanged(posteriors[0]):
        merged = tx.merge(posteriors, prior)
    mean, var = regression_posterior(prior, x, y)
    state = merged.state_dict()
    assert relative_error(state["0.weight.mean"], mean) < 1e-5
    np.testing.assert_allclose(state["0.weight.var"], var, rtol=1e-5)
    assert merged.device == device
    # One after the other comes to the same.
    sequential = copy.deepcopy(prior)
    for i in range(n_shards):
        learn(sequential, x[i::n_shards], y[i::n_shards])
    assert state_error(state, sequential.state_dict()) < 1e-5


def test_product_of_single_biases() -> None:
    """Inputs of 0 leave a bias: the conjugate mean, known variance, prior that has learned."""
    rng = np.random.default_rng(1)
    prior = nn.Sequential(nn.Linear(1, 1), rule=EXACT, seed=0, noise=tx.Homoscedastic(std=0.3))
    learn(prior, np.zeros((3, 1)), rng.normal(0, 1, 3))
    state = {key: value.astype(np.float64) for key, value in prior.state_dict().items()}
    y = [rng.normal(2, 0.3, n).astype(np.float32) for n in (4, 11, 1)]
    merged = tx.merge(
        [learn(copy.deepcopy(prior), np.zeros((len(part), 1)), part) for part in y], prior
    )
    precision = 1 / state["0.bias.var"] + 16 / 0.3**2
    mean = (state["0.bias.mean"] / state["0.bias.var"] + np.concatenate(y).sum() / 0.3**2) / (
        precision
    )
    np.testing.assert_allclose(merged.state_dict()["0.bias.mean"], mean, rtol=1e-5)
    np.testing.assert_allclose(merged.state_dict()["0.bias.var"], 1 / precision, rtol=1e-5)
    assert merged.state_dict()["0.weight.mean"] == prior.state_dict()["0.weight.mean"]


def test_quotient_is_bayes_rule() -> None:
    prior = one_hot_net()
    x, y = one_hot_rows(80, seed=2)
    whole = learn(copy.deepcopy(prior), x, y)
    shard = learn(copy.deepcopy(prior), x[50:], y[50:])
    with unchanged(prior), unchanged(whole), unchanged(shard):
        rest = tx.forget(whole, shard, prior)
    mean, var = regression_posterior(prior, x[:50], y[:50])
    assert relative_error(rest.state_dict()["0.weight.mean"], mean) < 1e-4
    np.testing.assert_allclose(rest.state_dict()["0.weight.var"], var, rtol=1e-4)


@on_every_device
@pytest.mark.parametrize(
    "noise",
    [
        tx.Homoscedastic(std=0.3),
        tx.Homoscedastic(learn=True),
        tx.Heteroscedastic(),
        tx.Heteroscedastic("softplus"),
    ],
)
def test_forget_takes_out_what_merge_put_in(noise: Any, device: str) -> None:
    prior = small(noise=noise, device=device)
    x, y = regression_data(300)
    parts = [copy.deepcopy(prior) for _ in range(3)]
    for part, rows in zip(parts, np.split(np.arange(300), 3), strict=True):
        part.fit(x[rows], y[rows], n_epochs=1, batch_size=8, progress=False)
    a, b, c = parts
    both = tx.merge([a, b], prior)
    back = tx.forget(both, b, prior)
    # float32 of the product: 6e-8 of what is known of a parameter, by whom it is known least.
    assert state_error(back.state_dict(), a.state_dict()) < 1e-4
    assert state_error(both.state_dict(), tx.merge([b, a], prior).state_dict()) < 1e-6
    step_by_step = tx.merge([both, c], prior).state_dict()
    assert state_error(step_by_step, tx.merge(parts, prior).state_dict()) < 1e-5
    # The formulas, of natural parameters, for every parameter of the core, hidden ones included.
    planes = [np.array(net._model.get_parameters(), np.float64) for net in (prior, *parts)]
    learned = planes[0][1] > 0
    (mean_0, var_0), *others = [plane[:, learned] for plane in planes]
    precision = sum(1 / var for _, var in others) - 2 / var_0
    mean = (sum(m / var for m, var in others) - 2 * mean_0 / var_0) / precision
    product = np.array(tx.merge(parts, prior)._model.get_parameters())
    np.testing.assert_allclose(product[1][learned], 1 / precision, rtol=1e-6)
    assert relative_error(product[0][learned], mean) < 1e-6
    assert (product[:, ~learned] == planes[0][:, ~learned]).all()


def test_merge_of_copies_of_the_prior_is_the_prior() -> None:
    prior = small(noise=tx.Heteroscedastic())
    merged = tx.merge([copy.deepcopy(prior), prior, prior], prior)
    assert same_bits(merged.state_dict(), prior.state_dict())
    assert same_bits(tx.forget(prior, prior, prior).state_dict(), prior.state_dict())


def test_constants_of_a_class_embedding_stay() -> None:
    """The networks of a diffusion model with learned vectors of its classes."""
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((200, 2)), rng.integers(3, size=200)

    def model() -> tx.DiffusionModel:
        options: dict[str, Any] = {"n_classes": 3, "class_features": "embedding"}
        return tx.DiffusionModel(2, [8], 10, seed=1, standardize=False, **options)

    prior, parts = model(), [model(), model()]
    for part, rows in zip(parts, (slice(100), slice(100, 200)), strict=True):
        part.fit(x[rows], labels[rows], n_epochs=1, progress=False)
    merged = tx.merge([part.net for part in parts], prior.net)
    state, before = merged.state_dict(), prior.net.state_dict()
    constant = before["0.weight.var"] == 0
    assert constant.any() and not constant.all()
    assert (state["0.weight.mean"][constant] == before["0.weight.mean"][constant]).all()
    assert (state["0.weight.var"][constant] == 0).all()
    assert (state["0.weight.var"][~constant] < before["0.weight.var"][~constant]).all()
    parts[0].net.load_state_dict(state)
    assert np.isfinite(parts[0].sample(5).x).all()


def test_settings_and_counters() -> None:
    options: dict[str, Any] = {"forgetting": tx.Forgetting(), "rule": tx.Information(share=0.02)}
    prior = small(seed=5, noise=tx.Homoscedastic([0.3, 0.4], decay=0.9), **options)
    x, y = regression_data(200)
    prior.fit(x, y, n_epochs=1, progress=False)
    a, b = copy.deepcopy(prior), copy.deepcopy(prior)
    a.fit(x, y, n_epochs=2, progress=False)
    b.fit(x, y, n_epochs=3, progress=False)
    prior._model.drift = (1.0, 2.0, 3.0, 1)
    a._model.drift, b._model.drift = (4.0, 5.0, 6.0, 3), (7.0, 8.0, 9.0, 1)
    merged = tx.merge([a, b], prior).eval()
    assert (merged.seed, merged.rule, merged.noise) == (prior.seed, prior.rule, prior.noise)
    assert merged.forgetting == prior.forgetting and repr(merged) == repr(prior)
    assert merged.epochs_trained == 4 and merged.n_drifts == 3
    assert merged._model.drift == (1.0, 2.0, 3.0, 3)
    assert not merged.training and prior.training
    rest = tx.forget(a, copy.deepcopy(prior), prior)
    assert rest.epochs_trained == 3 and rest._model.drift == a._model.drift
    assert state_error(rest.state_dict(), a.state_dict()) < 1e-6
    # A network like any other: it learns on, and shares nothing with the prior.
    with unchanged(prior), unchanged(a):
        merged.update(x[:5], y[:5])
    assert same_bits(pickle.loads(pickle.dumps(merged)).state_dict(), merged.state_dict())


def test_nested_layers() -> None:
    inner = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    prior = nn.Sequential(inner, nn.Linear(4, 2), seed=0)
    twin = nn.Sequential(nn.Sequential(nn.Linear(3, 4), nn.ReLU()), nn.Linear(4, 2), seed=0)
    assert same_bits(tx.merge([twin], prior).state_dict(), prior.state_dict())
    for other in (nn.Sequential(nn.Linear(3, 4), nn.Tanh()), nn.ReLU()):
        with pytest.raises(ValueError, match=r"posteriors\[0\]: got"):
            tx.merge([nn.Sequential(other, nn.Linear(4, 2), seed=0)], prior)


def test_layers_that_join_others() -> None:
    def network(width: int = 3) -> nn.Sequential:
        body = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 4))
        branches = nn.Concat(nn.ReLU(), nn.Linear(4, 2))
        return nn.Sequential(nn.Linear(3, 4), nn.Residual(body), branches, seed=0)

    assert same_bits(tx.merge([network()], network()).state_dict(), network().state_dict())
    with pytest.raises(ValueError, match=r"posteriors\[0\]: got"):
        tx.merge([network(5)], network())


def improper_pair() -> tuple[nn.Sequential, nn.Sequential, nn.Sequential]:
    """Prior, posterior, and a shard that is surer than the posterior of two weights."""
    prior = nn.Sequential(nn.Linear(3, 1, bias=False), seed=0)
    posterior, shard = copy.deepcopy(prior), copy.deepcopy(prior)
    var = prior.state_dict()["0.weight.var"][0, 0]  # 1/3
    mean = np.array([[1.0, 2.0, 3.0]])
    posterior.load_state_dict(
        {"0.weight.mean": mean, "0.weight.var": np.array([[0.5, 0.5, 0.2]]) * var}
    )
    shard.load_state_dict(
        {"0.weight.mean": 2 * mean, "0.weight.var": np.array([[0.25, 0.4, 0.5]]) * var}
    )
    return prior, posterior, shard


def test_quotients_that_are_no_distributions() -> None:
    """Precisions, in units of the prior's: 1 + 2 - 4 = -1, 1 + 2 - 2.5 = 0.5, 1 + 5 - 2 = 4."""
    prior, posterior, shard = improper_pair()
    with unchanged(prior), unchanged(posterior), unchanged(shard):
        with pytest.raises(ValueError, match=r"shard: got precisions that leave 1 of 3 .*improper"):
            tx.forget(posterior, shard, prior)
        rest = tx.forget(posterior, shard, prior, improper="prior").state_dict()
        before = prior.state_dict()
        np.testing.assert_allclose(rest["0.weight.var"], np.array([[1, 1, 0.25]]) / 3, rtol=1e-6)
        assert (rest["0.weight.mean"] == before["0.weight.mean"])[0, :2].all()
        m_0 = float(before["0.weight.mean"][0, 2])
        expected = (5 * 3 - 2 * 6 + 1 * m_0) / 4
        assert rest["0.weight.mean"][0, 2] == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ValueError, match=r"improper: got 'clip', needed one of 'raise', 'prior'"):
        tx.forget(posterior, shard, prior, improper="clip")


@pytest.mark.parametrize("head", [tx.HierarchicalSoftmax(3), tx.Remax(3), tx.Softmax(3)], ids=repr)
def test_networks_of_classes(head: Any) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=300)
    x = rng.standard_normal((300, 2)) + 2 * np.array([[0, 1], [1, -1], [-1, -1]])[labels]
    prior = nn.Sequential(
        nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, head.n_outputs), likelihood=head, seed=0
    )
    prior.fit(x[:100], labels[:100], n_epochs=5, batch_size=4, progress=False)
    parts = [copy.deepcopy(prior) for _ in range(2)]
    for part, rows in zip(parts, (slice(100, 200), slice(200, 300)), strict=True):
        part.fit(x[rows], labels[rows], n_epochs=1, batch_size=4, progress=False)
    merged = tx.merge(parts, prior)
    assert merged.likelihood == head
    assert (merged.predict_proba(x).argmax(axis=1) == labels).mean() > 0.85
    back = tx.forget(merged, parts[1], prior)
    assert state_error(back.state_dict(), parts[0].state_dict()) < 1e-3
    other = tx.Remax(3, std=0.5)
    with pytest.raises(ValueError, match=r"posteriors\[0\]: got likelihood .*, needed the prior's"):
        tx.merge(
            [nn.Sequential(nn.Linear(2, 3), likelihood=other, seed=0)],
            nn.Sequential(nn.Linear(2, 3), likelihood=tx.Remax(3), seed=0),
        )


def test_errors() -> None:
    prior = small()
    other = copy.deepcopy(prior)
    with unchanged(prior), unchanged(other):
        with pytest.raises(TypeError, match=r"posteriors: got a Sequential, needed a list"):
            tx.merge(other, prior)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"posteriors: got an empty list"):
            tx.merge([], prior)
        with pytest.raises(TypeError, match=r"posteriors\[1\]: got 3, needed a network"):
            tx.merge([other, 3], prior)  # type: ignore[list-item]
        with pytest.raises(TypeError, match=r"prior: got None, needed a network"):
            tx.merge([other], None)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"shard: got .*needed a network \(of a diffusion"):
            tx.forget(other, tx.DiffusionModel(2, [4], seed=0), prior)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"posteriors\[1\]: got seed 1, needed the prior's, 0"):
            tx.merge([other, small(seed=1)], prior)
        with pytest.raises(ValueError, match=r"posterior: got noise .*, needed the prior's, None"):
            tx.forget(small(noise=tx.Heteroscedastic()), other, prior)
        with pytest.raises(ValueError, match=r"posteriors\[0\]: got 98 parameters with variance 0"):
            tx.merge([prior.draw(0)], prior)
    broken = copy.deepcopy(prior)
    dict(broken.named_parameters())["0.weight"].var[0, 0] = -1
    with pytest.raises(ValueError, match=r"shard: got means that are not finite, or variances"):
        tx.forget(other, broken, prior)
    embedding = [nn.ClassEmbedding(1, 2, 1), nn.Linear(2, 1)]
    constants = nn.Sequential(*embedding, seed=0)
    state = constants.state_dict()
    state["0.weight.mean"][0, 0] = 2
    moved = copy.deepcopy(constants)
    moved.load_state_dict(state)
    with pytest.raises(ValueError, match=r"posteriors\[0\]: got 1 constants"):
        tx.merge([moved], constants)
