"""Networks asked at several levels in one call, in one process and in two."""

from __future__ import annotations

import queue as queues
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import diffnum as dn
from diffnum import models
from diffnum.parallel import PerSample, Restated, gauss_seidel, paradigms, parareal, picard, sharded, together

NOISE = dn.noise.Counter(5)
EPS = float(torch.finfo(torch.float32).eps)
PROCESS = dn.VP()


def compiled(name: str, n: int = 8, prediction: str = "noise", process: Any = PROCESS) -> Any:
    return dn.compile(name, dn.grid.log_snr(process, n, stop=0.05), prediction)


class Small(torch.nn.Module):
    """A convolution, a time embedding and another convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.into = torch.nn.Conv2d(1, 8, 3, padding=1)
        self.time = torch.nn.Linear(2, 8)
        self.out = torch.nn.Conv2d(8, 1, 3, padding=1)

    def forward(self, x: Any, t: Any) -> Any:
        told = self.time(torch.stack([t.cos(), t.sin()], -1))[:, :, None, None]
        return self.out(torch.nn.functional.silu(self.into(x) + told))


@pytest.fixture(scope="module")
def small() -> PerSample:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return PerSample(Small().requires_grad_(False))


def start(n: int = 3) -> torch.Tensor:
    return torch.randn((n, 1, 6, 6), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("run", [picard, paradigms])
@pytest.mark.parametrize("name", ["ddim", "ddpm_ancestral", "dpmpp_2m"])
def test_a_network_in_single_precision_gives_the_sequential_sample_to_rounding(name, run, small):
    plan = compiled(name)
    x = start()
    truth = dn.sample(plan, small, x, NOISE)
    found = run(plan, small, x, tol=0.0, noise=NOISE)
    assert found.sample.dtype == torch.float32 and found.iterations <= plan.nfe
    assert float((found.sample - truth).abs().max()) <= 16 * EPS * plan.nfe * float(truth.abs().max())


def test_several_levels_in_one_call_are_the_calls_one_by_one(small):
    levels = PROCESS.level(0.9), PROCESS.level(0.4), PROCESS.level(0.1)
    xs = [start() * s for s in (1.0, 0.7, 0.2)]
    calls: list[int] = []
    counted = PerSample(lambda x, t: (calls.append(len(x)), small.f(x, t))[1])
    together_ = together(counted)(xs, levels)
    assert calls == [9]
    for one, (x, level) in zip(together_, zip(xs, levels, strict=True), strict=True):
        assert torch.allclose(one, small(x, level), rtol=0, atol=8 * EPS)


def test_a_model_without_it_is_asked_level_by_level_with_the_same_bits(small):
    plan = compiled("unipc_3", prediction="data")
    x = start()
    plain = lambda u, level: small(u, level)  # noqa: E731
    # a run that keeps its states computes the lines of the plan one by one, as Picard's rounds do
    assert torch.equal(picard(plan, plain, x, tol=0.0).sample, dn.sample(plan, plain, x, keep="states")[-1])
    rounds, steps = picard(compiled("unipc_3"), plain, x, tol=0.0).sample, dn.sample(compiled("unipc_3"), plain, x)
    assert (rounds - steps).abs().max() <= 4 * torch.finfo(x.dtype).eps * steps.abs().max()


def test_double_precision_and_half_are_kept(small):
    plan = compiled("ddim")
    net = PerSample(lambda x, t: small.f(x.float(), t.float()).to(x.dtype))
    for dtype in (torch.float64, torch.bfloat16):
        found = picard(plan, net, start().to(dtype), tol=0.01, memory=2)
        assert found.sample.dtype == dtype and torch.isfinite(found.sample).all()


def test_images_of_a_target_in_torch():
    target = dn.Gaussian.power_law(16)
    plan = compiled("dpmpp_2m", prediction="data")
    x = torch.from_numpy(target.sample(3, 0, plan.start)).reshape(3, 1, 4, 4)
    assert torch.equal(picard(plan, target, x, 0.0).sample, dn.sample(plan, target, x))
    accelerated = picard(plan, target, x, 0.0, memory=2)
    assert torch.equal(accelerated.sample, dn.sample(plan, target, x))


@pytest.mark.parametrize("source, target", [("noise", "velocity"), ("velocity", "data"), ("data", "score")])
def test_a_model_restated_is_the_same_sampler_to_rounding(source, target):
    law = dn.Mixture([0.4, 0.6], [[1.0, -0.5], [-1.0, 0.7]], [np.eye(2) * 0.3, np.eye(2) * 0.2])
    one, two = compiled("dpmpp_2m", 8, source), compiled("dpmpp_2m", 8, target)
    x = law.sample(3, 0, one.start)
    restated = Restated(lambda u, level: law.predict(u, level, source), source, target)
    assert np.abs(dn.sample(two, restated, x) - dn.sample(one, law, x)).max() < 1e-12
    found = picard(two, restated, x, tol=0.0).sample
    assert np.array_equal(found, dn.sample(two, restated, x))


def test_a_network_restated_is_still_asked_once_a_round(small):
    calls: list[int] = []
    counted = PerSample(lambda x, t: (calls.append(len(x)), small.f(x, t))[1])
    x = start()
    truth = dn.sample(compiled("ddim", 40), small, x)
    found = picard(compiled("ddim", 40, "velocity"), Restated(counted, "noise", "velocity"), x, tol=1e-3)
    assert len(calls) == found.iterations
    assert float((found.sample - truth).abs().max()) < 1e-2 * float(truth.abs().max())


def test_a_denoiser_that_predicts_noise_needs_fewer_rounds_as_a_velocity(digits):
    x = dn.noise.Counter(0).initial(2, digits.dim)
    noise = lambda u, level: digits.predict(u, level, "noise")  # noqa: E731
    plain = picard(compiled("ddim", 40), noise, x, tol=1e-2)
    found = picard(compiled("ddim", 40, "velocity"), Restated(noise, "noise", "velocity"), x, tol=1e-2)
    assert found.iterations < 0.7 * plain.iterations and found.nfe < 0.7 * plain.nfe
    assert np.abs(found.sample - plain.sample).max() < 0.05


def test_where_one_prediction_does_not_determine_another_it_is_said():
    level = dn.Flow().level(1.0)
    model = Restated(lambda u, level: u, "noise", "data")
    with pytest.raises(
        ValueError, match="noise prediction does not determine data at alpha = 0, sigma = 1: start and stop"
    ):
        model(np.ones((2, 3)), level)


# --- networks of diffusers ---


@pytest.fixture(scope="module")
def unet() -> Any:
    pytest.importorskip("diffusers")
    from pipelines import network, scheduler

    return models.from_diffusers(network(), scheduler("DDPMScheduler", clip_sample=False))


@pytest.mark.parametrize("kind", ["plain", "edm", "flow", "clipped"])
def test_a_network_of_diffusers_answers_several_levels_in_one_call(kind):
    pytest.importorskip("diffusers")
    from pipelines import network, noise, scheduler

    config = {
        "plain": ("DDPMScheduler", {"clip_sample": False}),
        "edm": ("EDMEulerScheduler", {}),
        "flow": ("FlowMatchEulerDiscreteScheduler", {}),
        "clipped": ("DDPMScheduler", {"clip_sample": True}),
    }[kind]
    net = models.from_diffusers(network(), scheduler(config[0], **config[1]))
    levels = [net.process.level(f * net.process.t_start) for f in (0.9, 0.5, 0.1)]
    xs = torch.stack([noise(i) * level.sigma for i, level in enumerate(levels)])
    found = net.at(xs, levels)
    assert found.shape == xs.shape
    for one, x, level in zip(found, xs, levels, strict=True):
        expected = net(x, level)
        assert float((one - expected).abs().max()) <= 64 * EPS * float(expected.abs().max())


def test_conditions_of_each_sample_are_repeated_for_each_level():
    pytest.importorskip("diffusers")
    from pipelines import network, noise, scheduler

    net = models.from_diffusers(network("conditional"), scheduler("DDPMScheduler", clip_sample=False))
    net = net.given(encoder_hidden_states=torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(2)))
    levels = [net.process.level(f * net.process.t_start) for f in (0.8, 0.3)]
    xs = torch.stack([noise(1), noise(2)])
    for one, x, level in zip(net.at(xs, levels), xs, levels, strict=True):
        assert torch.allclose(one, net(x, level), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["ddim", "dpmpp_2m", "ddpm_ancestral"])
def test_a_network_of_diffusers_in_parallel_is_the_sequential_run(name, unet):
    from pipelines import noise

    plan = compiled(name, 6, unet.prediction, unet.process)
    x = noise()
    truth = dn.sample(plan, unet, x, NOISE)
    found = picard(plan, unet, x, tol=0.0, noise=NOISE)
    assert found.iterations <= plan.nfe
    assert float((found.sample - truth).abs().max()) <= 64 * EPS * plan.nfe * float(truth.abs().max())
    quick = picard(plan, unet, x, tol=0.1, noise=NOISE)
    assert quick.iterations <= found.iterations
    assert float((quick.sample - truth).abs().max()) < 0.2 * float(truth.abs().max())


# --- several processes ---


def test_without_a_process_group_everything_is_asked_here_and_said_so(small):
    with pytest.warns(
        RuntimeWarning, match="no process group was started, so all states of a round are asked for here"
    ):
        model = sharded(small)
    assert model is small


def _rank(rank: int, store: str, queue: Any) -> None:
    """One of two processes: what it samples, and how many states it asked for."""
    from datetime import timedelta

    torch.set_num_threads(1)
    dist = torch.distributed
    dist.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=2, timeout=timedelta(seconds=45)
    )
    try:
        target = dn.Mixture([0.4, 0.6], [[1.0, -0.5], [-1.0, 0.7]], [np.eye(2) * 0.3, np.eye(2) * 0.2])
        asked = []

        def counted(x: Any, level: Any) -> Any:
            asked.append(level.t)
            return target.predict(x, level, "data")

        plan = compiled("ddpm_ancestral", 9, "data")
        x = target.sample(4, 0, plan.start)
        model = sharded(counted)
        runs = {
            "picard": lambda: picard(plan, model, x, tol=0.01, noise=NOISE, window=5),
            "segments": lambda: gauss_seidel(plan, model, x, 2, noise=NOISE),
            "torch": lambda: picard(plan, model, torch.from_numpy(x), tol=0.0, noise=NOISE),
        }
        for name, run in runs.items():
            asked.clear()
            found = run()
            queue.put((rank, name, np.asarray(found.sample), found.windows, len(asked)))
    finally:
        dist.destroy_process_group()


@pytest.mark.full
@pytest.mark.timeout(170)
def test_two_processes_share_the_states_of_a_round_and_agree_with_one(tmp_path: Path):
    if not torch.distributed.is_available():
        pytest.skip("this torch has no distributed package")
    context = torch.multiprocessing.get_context("spawn")
    queue = context.Queue()
    workers = [context.Process(target=_rank, args=(r, str(tmp_path / "store"), queue), daemon=True) for r in range(2)]
    for worker in workers:
        worker.start()
    try:
        found = [queue.get(timeout=120) for _ in range(6)]
    except queues.Empty:
        pytest.fail("two processes did not answer within two minutes")
    finally:
        for worker in workers:
            worker.join(timeout=10)
            if worker.is_alive():
                worker.kill()
    target = dn.Mixture([0.4, 0.6], [[1.0, -0.5], [-1.0, 0.7]], [np.eye(2) * 0.3, np.eye(2) * 0.2])
    plan = compiled("ddpm_ancestral", 9, "data")
    x = target.sample(4, 0, plan.start)
    alone = {
        "picard": picard(plan, target, x, tol=0.01, noise=NOISE, window=5),
        "segments": gauss_seidel(plan, target, x, 2, noise=NOISE),
        "torch": picard(plan, target, torch.from_numpy(x), tol=0.0, noise=NOISE),
    }
    for _, name, sample, windows, asked in found:
        assert np.array_equal(sample, np.asarray(alone[name].sample)) and windows == alone[name].windows
        # half of every round, rounded up
        assert asked == sum(-(-(e - b) // 2) for b, e in windows) < alone[name].nfe
    assert {(rank, name) for rank, name, *_ in found} == {(r, name) for r in (0, 1) for name in alone}


# --- what it costs ---


@pytest.fixture(scope="module")
def digits() -> Any:
    data = dn.images.data.load("digits")
    return dn.Mixture.fit_labelled(data.data, data.labels)


def test_the_table_of_costs_counts_what_was_run(digits):
    plan = dn.compile("ddim", dn.grid.uniform(PROCESS, 25), "velocity")
    x = dn.noise.Counter(0).initial(2, digits.dim)
    (one, exact) = dn.parallel.costs([plan], digits, x, (0.1, 0.0))
    run = picard(plan, digits, x, 0.1)
    assert (one.sequential, one.rounds, one.nfe, one.largest) == (25, run.iterations, run.nfe, run.largest)
    assert exact.error == 0 < one.error < 0.05
    assert dn.parallel.cost_table([one]).splitlines()[2].startswith(f"| 25 | 0.1 | {one.rounds} |")


@pytest.mark.full
def test_rounds_hardly_grow_with_the_steps_and_evaluations_do(digits):
    plans = [dn.compile("ddim", dn.grid.uniform(PROCESS, n), "velocity") for n in (25, 50, 100, 1000)]
    x = dn.noise.Counter(0).initial(2, digits.dim)
    found = dn.parallel.costs(plans, digits, x, (0.1,))
    rounds = [c.rounds for c in found]
    assert rounds[-1] <= 2.5 * rounds[0] and rounds[-1] < 1000 / 40
    assert all(c.error < 0.05 for c in found)
    # what is saved in depth is paid in work
    assert all(c.dearer > 1.5 for c in found) and found[-1].dearer > found[0].dearer


@pytest.mark.full
def test_parareal_on_digits(digits):
    levels = dn.grid.uniform(PROCESS, 96)
    few = dn.grid.custom(PROCESS, times=[level.t for level in levels.levels[::8]])
    fine, coarse = (dn.compile("ddim", grid, "velocity") for grid in (levels, few))
    x = dn.noise.Counter(0).initial(2, digits.dim)
    found = parareal(fine, coarse, digits, x, tol=0.1)
    assert found.depth < fine.nfe
    assert np.abs(found.sample - dn.sample(fine, digits, x)).max() < 0.1
