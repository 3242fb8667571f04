"""How much of a step is arithmetic that any implementation must do: python tests/benchmarks/arithmetic_limit.py [--threads 2]

Profiles a forward pass, a training step and a Hessian-vector product of the preregistered network, sums the time of the
convolutions and matrix products (oneDNN and BLAS, as in every other program on torch), and says how much faster the whole
would be if all else were free. Beside it the rate of the operations, and that of a large matrix product on the same cores.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

import torch  # noqa: E402
from networks import cifar_settings, our_network, size  # noqa: E402
from torch import nn  # noqa: E402
from torch.profiler import profile  # noqa: E402

from workflow_scripts.curvature.hessian import HessianVectorProduct  # noqa: E402

# Operators that are arithmetic through and through, by the start of their names.
ARITHMETIC = ("aten::mkldnn_convolution", "aten::convolution_backward", "aten::_convolution", "aten::bmm", "aten::addmm", "aten::mm")
REPEATS = 5


def share_of_arithmetic(call: Callable[[], object]) -> tuple[float, float]:
    """Seconds of a call (the median of a few, unprofiled), and the share of its profiled time in ARITHMETIC."""
    call()
    taken = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    with profile() as profiler:
        call()
    events = profiler.key_averages()
    total = sum(event.self_cpu_time_total for event in events)
    within = sum(event.self_cpu_time_total for event in events if event.key.startswith(ARITHMETIC))
    return statistics.median(taken), within / total


def matrix_rate(dtype: torch.dtype, side: int = 2048) -> float:
    """Floating-point operations per second of a product of two square matrices."""
    first, second = torch.randn(2, side, side).to(dtype)
    taken, _ = share_of_arithmetic(lambda: first @ second)
    return 2 * side**3 / taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    torch.set_num_threads(parser.parse_args().threads)
    network = our_network(cifar_settings())
    _, flop = size(network)
    parameters = list(network.parameters())
    optimizer = torch.optim.Adam(parameters, lr=1e-6, fused=True)
    rates = {name: matrix_rate(dtype) for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16))}
    print("a product of 2048 x 2048 matrices: " + ", ".join(f"{rate / 1e9:.0f} GFLOP/s in {name}" for name, rate in rates.items()))
    print("| what | time | GFLOP/s | convolutions and products | were all else free |")
    print("|---|---|---|---|---|")

    def inputs(batch: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return torch.randn(batch, 3, 32, 32), torch.randint(1000, (batch,)), torch.randn(batch, 3, 32, 32)

    def line(what: str, call: Callable[[], object], work: float | None) -> None:
        seconds, share = share_of_arithmetic(call)
        rate = "–" if work is None else f"{work / seconds / 1e9:.0f}"
        print(f"| {what} | {seconds * 1e3:.0f} ms | {rate} | {share:.0%} | {1 / share:.2f}× |", flush=True)

    for batch in (16, 50):
        x, t, _ = inputs(batch)
        for precision in ("fp32", "bf16"):

            def forward() -> None:
                with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                    network.eval()(x, t)

            line(f"forward pass, batch {batch}, {precision}", forward, batch * flop)
    for batch in (4, 128):
        x, t, noise = inputs(batch)

        def step() -> None:
            optimizer.zero_grad()
            nn.functional.mse_loss(network.train()(x, t), noise).backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()

        line(f"training step, batch {batch}, fp32", step, 3 * batch * flop)
    x, t, noise = inputs(8)
    product = HessianVectorProduct(lambda: nn.functional.mse_loss(network.eval()(x, t), noise), parameters)
    vector = torch.randn(product.num_parameters)
    line("Hessian-vector product, batch 8, fp32", lambda: product(vector), None)


if __name__ == "__main__":
    main()
