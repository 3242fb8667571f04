"""How much of a step is arithmetic that any implementation must do: python tests/benchmarks/arithmetic_limit.py [--device cuda]

Times forward passes, sampling, training steps and a Hessian-vector product of the preregistered network beside the time
that their floating-point operations would take at the rate of a large matrix product on the same device. A profile says
which share convolutions and matrix products have (oneDNN and BLAS, or cuDNN and cuBLAS, as in every program on torch), and
how much faster the whole would be if all else were free.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

import torch  # noqa: E402
from hardware import precisions  # noqa: E402
from matrix_rate import DTYPES, matrix_product  # noqa: E402
from networks import cifar_settings, our_network, size, training_flop  # noqa: E402
from sampling import NFE, OurSampling  # noqa: E402
from side_by_side import seconds  # noqa: E402
from torch import nn  # noqa: E402
from torch.autograd import DeviceType  # noqa: E402
from torch.profiler import profile  # noqa: E402

from workflow_scripts.core.memory import keep_freed_memory  # noqa: E402
from workflow_scripts.curvature.hessian import HessianVectorProduct  # noqa: E402
from workflow_scripts.curvature.quadratic_form import QuadraticForm  # noqa: E402
from workflow_scripts.training.device import require_float32  # noqa: E402

# Operators that are arithmetic through and through, by the start of their names.
ARITHMETIC = (
    "aten::mkldnn_convolution",
    "aten::convolution_backward",
    "aten::_convolution",
    "aten::bmm",
    "aten::baddbmm",
    "aten::addmm",
    "aten::mm",
)
# Parts of the names of a GPU's kernels that are not cuDNN's or cuBLAS's: torch's own, its compiler's, copies.
ELEMENTWISE = ("at::native", "at_cuda_detail", "cub::", "triton_", "Memcpy", "Memset")
REPEATS = 5


def seconds_of(call: Callable[[], object]) -> float:
    """Seconds of a call: the median of a few, after one to warm up."""
    call()
    return statistics.median(seconds(call) for _ in range(REPEATS))


def share_of_arithmetic(call: Callable[[], object], device: torch.device) -> float:
    """The share of a call's profiled time that is in ARITHMETIC, on a GPU in kernels that are not of ELEMENTWISE."""
    with profile() as profiler:
        call()
    if device.type == "cpu":
        times = {event.key: event.self_cpu_time_total for event in profiler.key_averages()}
        return sum(time for name, time in times.items() if name.startswith(ARITHMETIC)) / sum(times.values())
    kernels = [event for event in profiler.key_averages() if event.device_type == DeviceType.CUDA]
    times = {event.key: event.self_device_time_total for event in kernels}
    return 1 - sum(time for name, time in times.items() if any(part in name for part in ELEMENTWISE)) / sum(
        times.values()
    )


def matrix_rate(precision: str, device: torch.device) -> float:
    """Floating-point operations per second of a large matrix product."""
    product, flop = matrix_product(precision, device)
    return flop / seconds_of(product)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    require_float32()
    keep_freed_memory()  # as steps do
    device, settings = torch.device(arguments.device), cifar_settings()
    network = our_network(settings)
    flop, training = (
        size(network)[1],
        training_flop(network),
    )  # counted where the network still lies, on the CPU
    network.to(device)
    parameters = list(network.parameters())
    rates = {precision: matrix_rate(precision, device) for precision in DTYPES}
    print(
        "rate of a large matrix product: "
        + ", ".join(f"{rate / 1e9:,.0f} GFLOP/s in {name}" for name, rate in rates.items())
    )
    print(
        "| what | time | at the matrix rate | convolutions and products | were all else free |\n|---|---|---|---|---|"
    )

    def line(what: str, precision: str, call: Callable[[], object], work: float | None) -> None:
        taken, share = seconds_of(call), share_of_arithmetic(call, device)
        ideal = "–" if work is None else f"{work / rates[precision] * 1e3:,.1f} ms"
        print(
            f"| {what}, {precision} | {taken * 1e3:,.1f} ms | {ideal} | {share:.0%} | {1 / share:.2f}× |",
            flush=True,
        )

    images = 50 if device.type == "cpu" else 500
    for precision in precisions(device.type):
        # with torch's convolutions, since the profiler sees no other
        sampling = OurSampling(network.eval(), settings, "ddim", precision, device)
        line(
            f"{images} images, DDIM, {NFE} NFE",
            precision,
            lambda sampling=sampling: sampling.draw(range(images)),
            images * NFE * flop,
        )
    for batch in (4, 128):
        x, noise = torch.randn(2, batch, 3, 32, 32, device=device)
        t = torch.randint(1000, (batch,), device=device)

        def passes() -> None:
            torch.autograd.grad(nn.functional.mse_loss(network.train()(x, t), noise), parameters)

        line(f"forward and backward pass, batch {batch}", "fp32", passes, batch * training)
    x, noise = torch.randn(2, 8, 3, 32, 32, device=device)
    t = torch.randint(1000, (8,), device=device)
    vector = torch.randn(sum(parameter.numel() for parameter in parameters), device=device)
    for name, kind in (("Hessian-vector product", HessianVectorProduct), ("v^T H v", QuadraticForm)):
        curved = kind(lambda: nn.functional.mse_loss(network.eval()(x, t), noise), parameters)
        line(f"{name}, batch 8", "fp32", lambda curved=curved: curved(vector), None)


if __name__ == "__main__":
    main()
