"""Training on a device, on the CPU in Triton's interpreter: draws, updates, and when the kernels are trusted."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from waiting import waits_of

from recshield.core import devices
from recshield.core.seeds import generator
from recshield.core.surfaces import Budget
from recshield.data.interactions import DataInfo, Dataset, HeldOut, Interactions
from recshield.training import Adversarial, ModelLoss, draws, epoch_triplets, on_device
from recshield.training.kernels import FactorTrainer
from recshield.training.on_device import DeviceTrainer, Sampler
from recshield_factor import MF, MFConfig

pytest.importorskip("triton", reason="there is no Triton")
HERE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
USERS, ITEMS = 9, 7


def interactions(n_rows: int = 30, seed: int = 0, n_users: int = USERS, n_items: int = ITEMS) -> Interactions:
    rng = np.random.default_rng(seed)
    return Interactions.from_rows(
        rng.integers(n_users, size=n_rows), rng.integers(n_items, size=n_rows), n_users, n_items
    )


def drawn(train: Interactions, seed: int) -> list[np.ndarray]:
    return [column.cpu().numpy() for column in Sampler(train, HERE).epoch(seed)]


def test_counters_are_mixed_to_the_same_bits():
    counters = np.random.default_rng(0).integers(0, 2**64, 1000, dtype=np.uint64)
    with np.errstate(over="ignore"):
        wanted = np.array([draws.mix.py_func(value) for value in counters])
    found = on_device.mix(torch.from_numpy(counters.view(np.int64)).to(HERE)).cpu().numpy().view(np.uint64)
    assert (found == wanted).all()


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(
    ("n_rows", "n_users", "n_items"), [(30, 9, 7), (400, 50, 300), (60, 3, 5), (1, 1, 1), (5, 40, 900)]
)
def test_an_epoch_has_the_triplets_that_the_cpu_draws(seed: int, n_rows: int, n_users: int, n_items: int):
    train = interactions(n_rows, seed, n_users, n_items)
    wanted = epoch_triplets(train, seed, 0)
    for found, column in zip(drawn(train, seed), (wanted.users, wanted.positives, wanted.negatives), strict=True):
        assert (found == column).all()


@pytest.mark.parametrize("seed", range(5))
def test_items_that_may_not_be_negatives_are_none(seed: int):
    rng = np.random.default_rng(seed)
    held = interactions(60, seed, 12, 20)
    allowed = np.sort(rng.choice(20, 4, replace=False)).astype(np.int32)
    train = dataclasses.replace(held, negatives=allowed)
    found, wanted = drawn(train, seed), epoch_triplets(train, seed, 0)
    assert (found[2] == wanted.negatives).all()
    assert np.isin(found[2], allowed).any()


SETTINGS = {
    "BPR": {},
    "regularised": {"l2": 0.01},
    "APR": {"eps_user": 0.3, "eps_item": 0.2, "weight": 0.7},
    "users alone": {"eps_user": 0.3, "weight": 1.0},
    "items alone, regularised": {"eps_item": 0.3, "weight": 1.0, "l2": 0.01},
    "the term alone": {"eps_user": 0.3, "eps_item": 0.3, "weight": 1.0, "clean": 0.0},
}


def tables(width: int) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.standard_normal((rows, width)).astype(np.float32) for rows in (USERS, ITEMS)]


def trained(settings: dict[str, float], width: int, batch: int, share: float = 1.0) -> list[torch.Tensor]:
    held, train = [torch.from_numpy(table).to(HERE) for table in tables(width)], interactions()
    trainer = DeviceTrainer(held[0], held[1], len(train), batch, 0.05, 0.1, **settings)  # type: ignore[arg-type]
    sampler = Sampler(train, HERE)
    for epoch in range(3 if torch.cuda.is_available() else 1):
        trainer.epoch(sampler.epoch(epoch), share)
    return [table.cpu() for table in held]


def by_cpu(settings: dict[str, float], width: int, batch: int, share: float = 1.0) -> list[torch.Tensor]:
    held, train = tables(width), interactions()
    trainer = FactorTrainer(held[0], held[1], batch, 0.05, 0.1, **settings)  # type: ignore[arg-type]
    for epoch in range(3 if torch.cuda.is_available() else 1):
        trainer.epoch(epoch_triplets(train, epoch, 0), share)
    trainer.write()
    return [torch.from_numpy(table) for table in held]


def gap(some: list[torch.Tensor], others: list[torch.Tensor]) -> float:
    return max(float((one - other).abs().max()) for one, other in zip(some, others, strict=True))


@pytest.mark.parametrize("kind", SETTINGS)
@pytest.mark.parametrize(("width", "batch"), [(8, 8), (5, 7), (1, 30), (6, 100)])
def test_updates_are_those_of_the_cpu(kind: str, width: int, batch: int):
    settings = SETTINGS[kind]
    found = trained(settings, width, batch)
    assert gap(found, by_cpu(settings, width, batch)) < 1e-5
    assert gap(found, [torch.from_numpy(table) for table in tables(width)]) > 1e-2
    if settings:
        assert gap(found, by_cpu({}, width, batch)) > 1e-4, "the setting must matter for this to say anything"


def test_a_share_of_eps_is_what_a_schedule_asks_for():
    half, whole = {**SETTINGS["APR"]}, {**SETTINGS["APR"], "eps_user": 0.6, "eps_item": 0.4}
    assert gap(trained(whole, 8, 8, share=0.5), trained(half, 8, 8)) < 1e-6
    assert gap(trained(whole, 8, 8), trained(half, 8, 8)) > 1e-3


def test_two_trainings_are_equal_bit_for_bit():
    assert gap(trained(SETTINGS["APR"], 8, 8), trained(SETTINGS["APR"], 8, 8)) == 0


def test_what_is_laid_out_in_pieces_is_the_same(monkeypatch: pytest.MonkeyPatch):
    whole = trained(SETTINGS["APR"], 8, 8)
    monkeypatch.setattr(on_device, "_READS", 30)
    assert gap(trained(SETTINGS["APR"], 8, 8), whole) == 0


@pytest.mark.parametrize("recorded", [1, 2, 3, 4])
def test_what_is_recorded_is_replayed_for_later_batches(recorded: int):
    held, train = [torch.from_numpy(table).to(HERE) for table in tables(8)], interactions()
    trainer = DeviceTrainer(held[0], held[1], len(train), 8, 0.05, 0.1, **SETTINGS["APR"])  # type: ignore[arg-type]

    class Replaying:
        def replay(self) -> None:
            trainer._pass(recorded)
            trainer._start.add_(recorded)

    trainer._graph, trainer._n_recorded = Replaying(), recorded  # type: ignore[assignment]
    trainer.epoch(Sampler(train, HERE).epoch(0))
    plain = [torch.from_numpy(table).to(HERE) for table in tables(8)]
    DeviceTrainer(plain[0], plain[1], len(train), 8, 0.05, 0.1, **SETTINGS["APR"]).epoch(  # type: ignore[arg-type]
        Sampler(train, HERE).epoch(0)
    )
    assert gap([table.cpu() for table in held], [table.cpu() for table in plain]) == 0


def test_rows_without_a_gradient_stay_and_nothing_becomes_nan():
    held = [torch.zeros((USERS, 4), device=HERE), torch.zeros((ITEMS, 4), device=HERE)]
    train = interactions()
    trainer = DeviceTrainer(held[0], held[1], len(train), 8, 0.05, 1e-30, eps_user=0.5, eps_item=0.5, weight=1.0)
    trainer.epoch(Sampler(train, HERE).epoch(0))
    assert all(bool((table == 0).all()) for table in held)


def test_the_host_waits_for_nothing_in_an_epoch():
    held, train = [torch.from_numpy(table).to(HERE) for table in tables(8)], interactions()
    trainer = DeviceTrainer(held[0], held[1], len(train), 8, 0.05, 0.1, eps_user=0.5, eps_item=0.5, weight=1.0)
    sampler = Sampler(train, HERE)
    trainer._pass = lambda _count: None  # type: ignore[method-assign]  # kernels are launched, and wait for nobody
    assert waits_of(lambda: trainer.epoch(sampler.epoch(0))) == []


def dataset() -> Dataset:
    train = interactions()
    nothing = HeldOut(np.empty(0, np.int32), np.zeros(1, np.int64), np.empty(0, np.int32))
    return Dataset("toy", train, nothing, "none")


def fitted(goal: ModelLoss | Adversarial, place: torch.device = HERE, **settings: object) -> MF:
    data = dataset()
    config = MFConfig(dims=4, std=0.5, batch=8, epochs=2, **settings)  # type: ignore[arg-type]
    made = MF(DataInfo("toy", USERS, ITEMS, len(data.train)), config, generator(3, "start")).to(place)
    made.fit(data, goal, generator(4, "fit"))
    return made


APR = Adversarial(ModelLoss(), "factors", Budget("l2", 0.3), 1.0, schedule="linear", epochs=2)


@pytest.mark.parametrize("goal", [ModelLoss(), APR])
def test_matrix_factorisation_trains_on_a_device_as_on_the_cpu(goal: Adversarial, monkeypatch: pytest.MonkeyPatch):
    wanted, made = fitted(goal, torch.device("cpu")), []

    class Noted(DeviceTrainer):
        def __post_init__(self) -> None:
            made.append(self)
            super().__post_init__()

    monkeypatch.setattr(MF, "_has_kernel", False)  # as where tables lie on a GPU
    monkeypatch.setattr(on_device, "fits", lambda _device: True)
    monkeypatch.setattr(on_device, "DeviceTrainer", Noted)
    found = fitted(goal)
    assert len(made) == 1
    found.cpu()
    assert gap([found.user.detach(), found.item.detach()], [wanted.user.detach(), wanted.item.detach()]) < 1e-5


def test_what_the_kernels_do_not_do_trains_the_generic_way(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(MF, "_has_kernel", False)
    monkeypatch.setattr(on_device, "fits", lambda _device: True)
    monkeypatch.setattr(on_device, "DeviceTrainer", None)
    for goal, settings in (
        (Adversarial(ModelLoss(), "factors", Budget("linf", 0.1), 1.0), {}),
        (Adversarial(ModelLoss(), "factors", Budget("l2", 0.1), 1.0, is_random=True), {}),
        (ModelLoss(), {"dropout": 0.2}),
        (ModelLoss(), {"fused": False}),
    ):
        assert fitted(goal, **settings).user.isfinite().all()


def test_a_small_training_tells_whether_a_device_computes_what_it_should():
    assert on_device.difference(HERE) < 1e-5


def test_kernels_that_compute_something_else_are_left_out_with_one_warning(monkeypatch: pytest.MonkeyPatch):
    cuda = torch.device("cuda", 3)
    monkeypatch.setattr(devices, "_verdicts", {})
    with pytest.warns(
        RuntimeWarning, match="kernels of sums are not used on 'cuda:3'.*differ by 0.5 .* 0.1 is allowed"
    ):
        assert not devices.trusted("sums", cuda, lambda _device: 0.5, 0.1)
    assert not devices.trusted("sums", cuda, lambda _device: 0.0, 0.1)  # tried once, said once
    with pytest.warns(RuntimeWarning, match="differ by nan"):
        assert not devices.trusted("products", cuda, lambda _device: float("nan"), 0.1)

    def refuse(_device: torch.device) -> float:
        raise RuntimeError("no kernel image\nand more")

    with pytest.warns(RuntimeWarning, match="RuntimeError: no kernel image$"):
        assert not devices.trusted("roots", cuda, refuse)
    assert devices.trusted("powers", cuda, lambda _device: 0.0)
    assert not devices.trusted("powers", torch.device("cpu"), lambda _device: 0.0)


COMPILE = """
    import warnings
    warnings.simplefilter("ignore")
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource
    from recshield.evaluation import triton_kernels as evaluation
    from recshield.training import triton_kernels as training

    TABLES = "user_table item_table user_sums item_sums rows slopes moved gradient eps scores own".split()
    WHOLE = "triplets all_heads all_order all_stops all_keys above bad".split()
    SHARES = "rate l2 clean weight".split()

    def compiled(kernel, capability, warps=1, **constants):
        kinds = dict.fromkeys(TABLES, "*fp32") | dict.fromkeys(WHOLE, "*i32") | dict.fromkeys(SHARES, "fp32")
        names = kernel.arg_names
        kinds["start"] = "*i64"
        signature = {name: "constexpr" if name in constants else kinds.get(name, "i32") for name in names}
        source = ASTSource(kernel, signature, constexprs={(names.index(name),): value for name, value in constants.items()})
        return triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": warps})

    for capability in (80, 90):
        for width in (8, 64, 128):
            for kernel in (training.read_rows, training.read_moved, training.move_rows):
                assert compiled(kernel, capability, block=width).asm["cubin"]
            for has_term in (True, False):
                assert compiled(training.update_rows, capability, block=width, has_term=has_term).asm["cubin"]
        assert compiled(evaluation._count, capability, 4, block=1024).asm["cubin"]
    print("compiled")
"""


COMPILER = inspect.signature(importlib.import_module("triton.compiler").ASTSource).parameters


@pytest.mark.skipif(sys.platform != "linux", reason="Triton compiles on Linux")
@pytest.mark.skipif("constexprs" not in COMPILER, reason="this Triton is asked to compile in another way")
def test_the_kernels_compile_for_gpus_that_are_not_here(tmp_path):
    environment = {"TRITON_CACHE_DIR": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(COMPILE)], capture_output=True, text=True, env=environment, timeout=300
    )
    assert done.stdout.strip() == "compiled", done.stderr[-2000:]
