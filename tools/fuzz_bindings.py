"""Gives arbitrary arrays to whatever takes arrays: only ValueError and TypeError may come of it.

    python tools/fuzz_bindings.py --n 100000 --workers 2      (options: --help)

Arrays of all dtypes, of shapes that nearly fit, empty, without dimensions, with negative or no
strides, read-only, unaligned, with NaN and numbers beyond float32, and things that are not arrays,
in place of one or more arguments of the methods of nn.Sequential and DiffusionModel, and of the
compiled core below them, which gets what the package would hand on to it: arrays that are aligned.
Any other exception, an end of the process or more than --seconds is a failure. tools/fuzz.sh runs
this under the address and undefined-behaviour sanitizers.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_runner import main

import tagix as tx
from tagix import _core, nn, schedules

N_FEATURES, N_OUTPUTS, N_ROWS = 3, 2, 4


class Opaque:
    """No array."""


def _things() -> list[Any]:
    """Things that are not arrays, or arrays in disguise."""
    return [
        *(None, 0, 1, -1, 2**31, 2**63, 10**400, 1.5, float("nan"), True, 1j, slice(3)),
        *("", "x", "1.5", b"abc", memoryview(b"abcd"), bytearray(12)),
        *(
            (),
            [],
            [[]],
            [1],
            [[1, 2], [3]],
            [[1.0, 2.0, 3.0]],
            [None, 1],
            ["1", "2"],
            [10**400],
            [1j],
        ),
        *({}, {"a": 1}, {1}, object(), Opaque(), Opaque, len, range(3), iter([1])),
        *(np.float32(2), np.float64("nan"), np.int8(3), np.bool_(True), np.datetime64(0, "s")),
        *(np.ma.masked_invalid([[1.0, float("nan"), 3]]), np.matrix([[1.0, 2, 3]]), np.dtype("f4")),
        *(np.array(None), np.array([Opaque()]), np.array(["a"]), np.zeros(3, "V8")),
        *(np.zeros(2, [("a", "f4"), ("b", "i8")]), np.recarray(2, [("a", "f4")])),
    ]


_DTYPES = [
    *["f4"] * 8,
    *("f8", "f8", "f2", ">f4", ">f8", "g", "i1", "i2", "i4", "i8", ">i8", "u1", "u8", "?"),
    *("c8", "c16", "O", "U3", "S3", "M8[s]", "m8[s]"),
]
_NUMBERS = [float("nan"), float("inf"), -float("inf"), 3e38, -3e38, 1e-45, 1e300, -1.0, 0.0, 1e20]


class Source:
    """Arbitrary values from a random generator."""

    def __init__(self, rng: random.Random, *, aligned: bool) -> None:
        self.rng = rng
        self._aligned = aligned

    def shape(self, wanted: tuple[int, ...]) -> tuple[int, ...]:
        """One that is wanted, or nearly, or any."""
        how = self.rng.randrange(9)
        if how < 4:
            return wanted
        if how == 4:
            changed = list(wanted)
            if changed:
                changed[self.rng.randrange(len(changed))] = self.rng.choice([0, 1, 2, 5, 17])
            return tuple(changed)
        if how == 5:
            return (*wanted, 1) if self.rng.random() < 0.5 else (1, *wanted)
        if how == 6:
            return wanted[1:]
        if how == 7:
            return wanted[::-1]
        return self.rng.choice(
            [(), (0,), (1,), (3,), (0, 3), (3, 0), (2, 2, 2), (1,) * 12, (500, 3)]
        )

    def array(self, wanted: tuple[int, ...], dtype: str | None = None) -> Any:
        """An array of any dtype, shape, values and layout."""
        rng, shape = self.rng, self.shape(wanted)
        kind = np.dtype(dtype if dtype and rng.random() < 0.7 else rng.choice(_DTYPES))
        size = int(np.prod(shape))
        numbers = [rng.gauss(0, 2) for _ in range(size)]
        if size and rng.random() < 0.3:
            for _ in range(rng.choice([1, 1, size])):
                numbers[rng.randrange(size)] = rng.choice(_NUMBERS)
        with np.errstate(all="ignore"):
            plain = np.array(numbers, "f8").reshape(shape)
            if kind.kind in "iu":
                plain = np.nan_to_num(plain) % 4
            array = plain.astype("i8").astype(kind) if kind.kind in "mM" else plain.astype(kind)
        return self.layout(array)

    def layout(self, array: Any) -> Any:
        """The same numbers in another order in memory, or in another kind of container."""
        how = self.rng.randrange(14)
        if how == 0:
            return np.asfortranarray(array)
        if how == 1 and array.ndim:
            return array[::-1].copy()[::-1]
        if how == 2 and array.ndim:
            return np.repeat(array, 2, axis=0)[::2]
        if how == 3 and array.ndim > 1:
            return array[..., ::-1]
        if how == 4 and array.ndim:
            return np.broadcast_to(array[:1], array.shape)
        if how == 5:
            array.flags.writeable = False
            return array
        if how == 6 and array.dtype.kind != "O" and not self._aligned:
            raw = np.zeros(array.nbytes + 1, "u1")
            unaligned = raw[1:].view(array.dtype).reshape(array.shape)
            unaligned[...] = array
            return unaligned
        if how == 7:
            return array.tolist()
        if how == 8:
            return array.T
        return array

    def value(self, wanted: tuple[int, ...], dtype: str | None = None) -> Any:
        """Mostly an array, sometimes none."""
        return self.rng.choice(_things()) if self.rng.random() < 0.15 else self.array(wanted, dtype)

    def plain(self, wanted: tuple[int, ...], dtype: str = "f4") -> Any:
        """Mostly what belongs there, so that the other arguments are looked at."""
        if self.rng.random() < 0.35:
            return self.value(wanted, dtype)
        if dtype == "i8":
            return np.array(self.rng.choices([-1, 0, 1], k=int(np.prod(wanted)))).reshape(wanted)
        numbers = [self.rng.gauss(0, 1) for _ in range(int(np.prod(wanted)))]
        return np.array(numbers, dtype).reshape(wanted)

    def count(self, *usual: Any) -> Any:
        """An integer, or something else."""
        if self.rng.random() < 0.7:
            return self.rng.choice(usual)
        return self.rng.choice(
            [0, -1, 1, 2, 5, 2**31, 2**63 - 1, 2**64, -(2**63), 1.0, "1", None, True]
        )

    def rows(self) -> int:
        """Rows of a batch."""
        return self.rng.choice([N_ROWS, N_ROWS, 1, 9])


class Subjects:
    """The models that are called, made anew now and then."""

    def __init__(self) -> None:
        def net(**options: Any) -> nn.Sequential:
            layers = nn.Linear(N_FEATURES, 5), nn.ReLU(), nn.Linear(5, N_OUTPUTS)
            return nn.Sequential(*layers, seed=1, **options)

        self.nets = [
            net(),
            net(noise=tx.Homoscedastic([0.5, 0.7])),
            net(noise=tx.Heteroscedastic(), forgetting=tx.Forgetting(window=5)),
            net(noise=tx.Homoscedastic(learn=True), precision="mixed"),
            nn.Sequential(nn.ReLU(), nn.Softplus(), seed=2),
            nn.Sequential(nn.Linear(N_FEATURES, 1), seed=3),
        ]
        self.diffusions = [
            tx.DiffusionModel(N_FEATURES, (4,), 5, seed=4),
            tx.DiffusionModel(N_FEATURES, (4,), 5, n_classes=2, class_features="embedding", seed=5),
            tx.DiffusionModel(N_FEATURES, (), 5, n_classes=2, noise=tx.Heteroscedastic(), seed=6),
        ]
        for model in self.diffusions:  # none is as its seed made it: those refuse to sample
            state = model.net.state_dict()
            model.net.load_state_dict({k: v / (1 + k.endswith("var")) for k, v in state.items()})


Call = Callable[[Subjects, Source], Any]


def _net(subjects: Subjects, source: Source) -> nn.Sequential:
    return source.rng.choice(subjects.nets)


def _x(source: Source, rows: int) -> Any:
    return source.plain((rows, N_FEATURES))


def _maybe(source: Source, value: Any) -> Any:
    return value if source.rng.random() < 0.5 else None


def _predict(subjects: Subjects, source: Source) -> Any:
    rows = source.rows()
    net = _net(subjects, source)
    calls: list[Callable[..., Any]] = [net.__call__, net.jacobian, net.covariance]
    call = source.rng.choice(calls)
    return call(_x(source, rows), _maybe(source, source.plain((rows, N_FEATURES))))


def _update(subjects: Subjects, source: Source) -> Any:
    rows, net = source.rows(), _net(subjects, source)
    noise = source.rng.choice([None, tx.Homoscedastic(1.0), source.plain((rows, N_OUTPUTS))])
    x_var = _maybe(source, source.plain((rows, N_FEATURES)))
    return net.update(_x(source, rows), source.plain((rows, N_OUTPUTS)), noise, x_var)


def _fit(subjects: Subjects, source: Source) -> Any:
    rows, net = source.rows(), _net(subjects, source)
    noise = source.rng.choice([None, tx.Homoscedastic(1.0), source.plain((rows, N_OUTPUTS))])
    validation = _maybe(source, (_x(source, rows), source.plain((rows, N_OUTPUTS))))
    return net.fit(
        _x(source, rows),
        source.plain((rows, N_OUTPUTS)),
        noise=noise,
        n_epochs=1,
        batch_size=source.count(2, 3, 100),
        shuffle=source.rng.choice([True, False]),
        progress=False,
        validation=validation,
    )


def _load_state_dict(subjects: Subjects, source: Source) -> Any:
    net = _net(subjects, source)
    state: dict[Any, Any] = dict(net.state_dict())
    for name in list(state):
        if source.rng.random() < 0.3:
            state[name] = source.value(state[name].shape, "f4")
    if source.rng.random() < 0.05:
        state[source.rng.choice(["x", 3, None])] = 1
    return net.load_state_dict(state)


def _diffusion(subjects: Subjects, source: Source) -> Any:
    model: Any = source.rng.choice(subjects.diffusions)
    rows = source.rows()
    x, labels = _x(source, rows), source.plain((rows,), "i8")
    labels = labels if source.rng.random() < (0.9 if model.n_classes else 0.1) else None
    how = source.rng.randrange(5)
    if how == 0:
        return model.fit(
            x,
            labels,
            n_epochs=1,
            progress=False,
            batch_size=source.count(2, 100),
            p_uncond=source.rng.choice([0.2, 0.0, 1.0, -1.0, float("nan"), "x"]),
        )
    if how == 1:
        t = source.plain((rows,), source.rng.choice(["i8", "f4"]))
        return model.predict(x, t, labels)
    if how == 2:
        return model.log_prob(x, labels, n_steps=source.rng.choice([1, 2, 0, -1, "x"]))
    if how == 3:
        shares = _maybe(source, source.plain((2,)))
        return model.predict_proba(x, n_draws=1, class_shares=shares)
    guidance = source.rng.choice([None, None, 2.0, float("nan"), 1e300, "x"])
    return model.sample(
        source.rng.choice([rows, 0, 1, -1]),
        label=source.plain((rows,), "i8") if labels is not None else None,
        guidance=guidance,
        trajectory=source.rng.choice([True, False]),
        uncertainty=source.rng.choice([True, False]),
    )


def _noise_arguments(subjects: Subjects, source: Source) -> Any:
    make = source.rng.choice(
        [tx.Homoscedastic, nn.LeakyReLU, tx.Information, tx.Capped, tx.Forgetting]
    )
    return make(source.value((2,)))


def _core_model(subjects: Subjects, source: Source) -> Any:
    rows, model = source.rows(), _net(subjects, source)._model
    x, y = _x(source, rows), source.plain((rows, N_OUTPUTS))
    noise_var = source.rng.choice(
        [None, source.plain((rows, N_OUTPUTS)), source.plain((1,)), np.ones(1, np.float32)]
    )
    x_var = _maybe(source, source.plain((rows, N_FEATURES)))
    how = source.rng.randrange(9)
    if how == 0:
        return model.predict(x, x_var, noise_var)
    if how == 1:
        return model.update(x, y, noise_var, x_var)
    if how == 2:
        return model.evaluate(x, y, noise_var)
    if how == 3:
        return model.innovations(x, y, noise_var, x_var)
    if how == 4:
        return model.jacobian(x, x_var, source.rng.choice([None, 0, 1, 3, 4, -1]))
    if how == 5:
        return model.covariance(x, x_var)
    if how == 6:
        return model.out_features(source.count(3))
    if how == 7:
        model.drift = source.rng.choice(
            [(1.0, 1.0, 1.0, 0), source.value((4,)), (1, 2), (-1.0, 0, 0, 0)]
        )
        return None
    size = model.get_parameters()[0].shape
    return model.set_parameters(source.plain(size), np.abs(source.plain(size)))


def _core_source(subjects: Subjects, source: Source) -> Any:
    rows, net = source.rows(), _net(subjects, source)
    model = net._model
    data = _core.RegressionSource(model, _x(source, rows), source.plain((rows, N_OUTPUTS)))
    # A network that infers its noise is not to be given any: the package sees to that.
    if not net._infers_noise and source.rng.random() < 0.5:
        data.set_noise_var(source.value((1,)))
    if not net._infers_noise and source.rng.random() < 0.5:
        data.set_noise_var_per_target(source.plain((rows, N_OUTPUTS)))
    trainer = _core.Trainer(model, data, source.count(2, 4), source.rng.choice([True, False]))
    return trainer.run_epoch(None)


def _core_process(subjects: Subjects, source: Source) -> Any:
    model = source.rng.choice(subjects.diffusions)
    process, how = model._process, source.rng.randrange(5)
    if how == 0:
        features = source.rng.choice([5, 1])
        return _core.DiffusionProcess(
            source.rng.choice([3, 3, 1, 0, -1]),
            source.plain((5, 4)),
            source.plain((5, features)),
            source.plain((source.rng.choice([1, 3]), 2)),
            "cpu",
        )
    if how == 1:
        return process.set_standardization(source.value((3,)), source.value((3,)))
    if how == 2:
        return process.standardize_by(_x(source, source.rows()))
    if how == 3:
        data = _core.DiffusionSource(model.net._model, process, _x(source, N_ROWS))
        if source.rng.random() < 0.5:
            data.set_labels(source.plain((N_ROWS,), "i8"), source.rng.choice([0.0, 0.5, 2.0]))
        if not model.net._infers_noise and source.rng.random() < 0.5:
            data.set_noise_var(source.value((1,)))
        return _core.Trainer(model.net._model, data, 2, True).run_epoch(None)
    stages = source.rng.choice([1, 3])
    plan = _core.SamplerPlan(
        source.plain((stages, 8)),
        source.plain((stages, 5)),
        source.rng.choice([[True] * stages, [False] * stages, [], source.value((stages,))]),
        source.rng.choice([1.0, 0.0, float("nan"), -1.0]),
    )
    return process.sample(
        model.net._model,
        plan,
        source.rng.choice([N_ROWS, 0, -1]),
        1,
        source.rng.choice([None, source.plain((N_ROWS,), "i8")]),
        source.rng.choice([(1.0, 0.0), (2.0, -1.0), (float("nan"), 0.0), source.value((2,))]),
        source.rng.choice([True, False]),
        *source.rng.choice([(False, 0), (True, 0), (True, 2), (True, -1)]),
    )


def _schedules(subjects: Subjects, source: Source) -> Any:
    alpha_bar = source.rng.choice([[1.0, 0.5, 0.1], source.value((3,), "f8")])
    t = source.value((2,), "f8")
    call = source.rng.randrange(5)
    if call == 0:
        return schedules.alpha_bar_at(alpha_bar, t)
    if call == 1:
        return schedules.timestep_of(alpha_bar, t)
    if call == 2:
        kind = source.rng.choice(["cosine", "scalar", "sinusoidal", "log_sigma"])
        return schedules.time_features(kind, t, alpha_bar)
    if call == 3:
        kind = source.rng.choice(["epsilon", "sample", "v_prediction"])
        return schedules.noise_levels(alpha_bar, kind)
    return schedules.sigma(alpha_bar)


_CALLS: dict[str, Call] = {
    "predict, jacobian, covariance": _predict,
    "update": _update,
    "fit": _fit,
    "load_state_dict": _load_state_dict,
    "DiffusionModel": _diffusion,
    "values": _noise_arguments,
    "schedules": _schedules,
    "_core.Model": _core_model,
    "_core.RegressionSource": _core_source,
    "_core.DiffusionProcess": _core_process,
}


class Calls:
    """Calls to be tried; see fuzz_runner."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._seed = seed
        self._subjects = Subjects()
        self._left = 100

    def kind(self, number: int) -> str:
        """What is called."""
        return list(_CALLS)[number % len(_CALLS)]

    def content(self, number: int) -> bytes:
        """How to call it again: models made anew, as after any 100 calls, may differ."""
        return f"python tools/fuzz_bindings.py --seed {self._seed} --first {number} --n 1".encode()

    def run(self, number: int) -> str:
        """Call it."""
        self._left -= 1
        if self._left == 0:
            self._subjects, self._left = Subjects(), 100
        kind, rng = self.kind(number), random.Random(f"{self._seed}/{number}")
        try:
            _CALLS[kind](self._subjects, Source(rng, aligned=kind.startswith("_core")))
        except (ValueError, TypeError):
            return "refused"
        return "done"


if __name__ == "__main__":
    sys.exit(main(Calls, __doc__ or ""))
