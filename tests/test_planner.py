"""Whole or in tiles: what fits, what does not, and what happens when memory runs out."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch import nn

from styler.config import OptimizerConfig
from styler.errors import DeviceError
from styler.features import Extractor, extractor_of, load_extractor
from styler.planner import LEAST_HISTORY, Need, plan_gradient, plans, smaller

LAYERS = frozenset({"relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1", "relu4_2"})
GIB = 2**30


def need(size: tuple[int, int], extractor: Extractor | None = None) -> Need:
    return Need(
        extractor=extractor or load_extractor("vgg-lite"),
        layers=LAYERS,
        placed=frozenset({"relu4_2"}),
        size=size,
        optimizer=OptimizerConfig(),
    )


def test_whole_where_it_fits_else_the_largest_tiles() -> None:
    wanted = need((2048, 2048))
    whole, *tiled = plans(wanted)
    assert not whole.tiled
    assert all(plan.tiled for plan in tiled)
    costs = [plan.bytes for plan in tiled]
    assert costs == sorted(costs, reverse=True)
    assert plan_gradient(wanted, 2 * whole.bytes) == whole
    chosen = plan_gradient(wanted, int(1.2 * tiled[1].bytes))
    assert chosen in tiled
    assert chosen.bytes <= 1.2 * tiled[1].bytes
    assert chosen.bytes < whole.bytes / 2


def test_freed_memory_is_kept_where_there_is_enough() -> None:
    wanted = need((2048, 2048))
    whole, first, *_ = plans(wanted)
    assert whole.keeps
    assert not first.keeps
    short = plan_gradient(wanted, int(first.bytes / 0.89))
    ample = plan_gradient(wanted, int(first.bytes / 0.89 * 1.4))
    assert short == first
    assert (ample.sides, ample.keeps) == (first.sides, True)
    assert first.bytes < ample.bytes < 1.4 * first.bytes


def test_what_does_not_fit_is_refused_with_a_side_that_does() -> None:
    wanted = need((40_000, 30_000))
    with pytest.raises(DeviceError, match=r"30000×40000 with vgg-lite needs about .* GB") as caught:
        plan_gradient(wanted, 2 * GIB)
    side = int(str(caught.value.hint).split()[1])
    assert plan_gradient(need((side, side * 3 // 4)), 2 * GIB).tiled


def test_lbfgs_remembers_less_before_it_is_refused() -> None:
    optimizer = OptimizerConfig(name="lbfgs", history=100)
    wanted = replace(need((1024, 1024)), optimizer=optimizer)
    least = list(plans(wanted))[-1]
    assert least.history == LEAST_HISTORY
    plan = plan_gradient(wanted, int(1.2 * least.bytes))
    assert LEAST_HISTORY <= plan.history < 100
    assert plan_gradient(wanted, 100 * GIB).history == 100


def test_losses_that_need_everything_are_planned_whole() -> None:
    wanted = replace(need((4096, 4096)), tileable=False)
    assert [plan.tiled for plan in plans(wanted)] == [False]
    with pytest.raises(DeviceError):
        plan_gradient(wanted, GIB)


def test_other_networks_are_measured() -> None:
    module = nn.Sequential(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 8, 3, stride=2))
    extractor = extractor_of(module, name="small")
    wanted = replace(
        need((8000, 10000), extractor), layers=frozenset({"2"}), placed=frozenset(), tileable=True
    )
    whole, *tiled = plans(wanted)
    kept = 4 * 8000 * 10000 * (3 + 32)  # what the convolutions are given
    assert kept < whole.bytes - wanted.held(10) < 4 * kept
    assert tiled
    assert tiled[-1].bytes < whole.bytes


def test_smaller_tiles_follow_until_there_are_none() -> None:
    wanted = need((1024, 1024))
    plan, seen = next(plans(wanted)), []
    while (lesser := smaller(wanted, plan)) is not None:
        assert lesser.bytes < plan.bytes
        assert lesser.work > plan.work
        seen.append(lesser.sides)
        plan = lesser
    assert len(seen) == len(set(seen)) >= 3


STARVED = """
import resource, sys
import torch
from styler.config import BackboneConfig, RuntimeConfig, ScheduleConfig, TransferConfig
from styler.transfer import Problem
from styler.network import extractor_for

torch.set_num_threads(1)
config = TransferConfig(
    backbone=BackboneConfig(name="vgg-lite"),
    schedule=ScheduleConfig(scales=1, steps=(2,)),
    runtime=RuntimeConfig(max_memory=2**36, precision="fp32"),
)
generator = torch.Generator().manual_seed(0)
content = torch.rand(1, 3, 768, 768, generator=generator)
style = torch.rand(1, 3, 128, 128, generator=generator)
problem = Problem(content, style, config, extractor_for(config))
assert not problem.plans[-1].tiled
small = content[..., :96, :96]
Problem(small, style, config, problem.extractor).solve()  # all libraries are loaded
held = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + 400_000_000, resource.RLIM_INFINITY))
starved = problem.solve()
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
plenty = problem.solve()
assert not plenty.notices
print(starved.run.done, (starved.image - plenty.image).abs().max().item())
print(*starved.notices)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are kept on Linux only")
def test_when_memory_runs_out_it_goes_on_in_tiles() -> None:
    # Arrays are given back when they are freed: else it is chance how torn the memory is, of which
    # little more is left than the tiles need.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "1000000"}
    done = subprocess.run(
        [sys.executable, "-c", STARVED],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    numbers, notice = done.stdout.splitlines()
    steps, difference = numbers.split()
    assert steps == "2"
    assert float(difference) < 0.05  # Adam's first steps go by the sign of tiny gradients, too
    assert notice.startswith("memory ran out at 768×768; it was gone on with in tiles of")


def test_other_errors_are_not_taken_for_memory() -> None:
    from styler.runtime import is_out_of_memory

    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("shapes differ"))
