"""Lightning's Trainer as this suite uses it: one function from a task to a trained run."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from datasets.errors import InputError
from tasks.fitting.base import Task, compile_network
from tasks.fitting.checkpoint import LAST_NAME, AtomicCheckpointIO, RunKeeper
from tasks.fitting.history import MetricsFile
from tasks.fitting.progress import TotalProgress
from tasks.fitting.restoring import refuse_other_run
from tasks.fitting.spec import FitSpec, Precision
from tasks.fitting.stopwatch import Stopwatch

_LOG_EVERY = 10
# What every checkpoint holds, and what Lightning's averaging adds.
_NEEDED = (
    *("state_dict", "optimizer_states", "lr_schedulers", "loops", "callbacks"),
    *("epoch", "global_step", "epoch_steps", "pytorch-lightning_version"),
)
_AVERAGES = ("current_model_state", "averaging_state")


class AveragedWeights(WeightAveraging):
    """Exponential moving average of weights and statistics, which a run evaluates and keeps.

    The decay per step is (1 + n) / (10 + n) until the run is long enough. The average lives on
    ``device``: Lightning asks before it has moved the model there.
    """

    def __init__(self, decay: float, device: str = "cpu") -> None:
        def update(averages: Any, currents: Any, count: Tensor | int) -> None:
            if averages[0].is_floating_point():
                weight = 1 - min(decay, (1 + int(count)) / (10 + int(count)))
                torch._foreach_lerp_(averages, currents, weight)
            else:
                torch._foreach_copy_(averages, currents)

        super().__init__(torch.device(device), use_buffers=True, multi_avg_fn=update)


def rank_and_world() -> tuple[int, int]:
    """This process's number and the number of processes, as torchrun states them."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def has_native_bf16(device: str) -> bool:
    """Whether the chip computes bfloat16 products in hardware."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device == "cpu":
        found = torch.cpu.get_capabilities()
        # ATEN_CPU_CAPABILITY may hold torch to less than an x86 chip has.
        x86 = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
        names = ("bf16", *(("avx512_bf16", "amx_bf16") if x86 else ()))
        return any(found.get(name) for name in names)
    return False


def local_device(device: str) -> str:
    """The device of this process among those of its machine."""
    return f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if device == "cuda" else device


def use_bf16(precision: Precision, device: str) -> bool:
    """Whether to train in bfloat16 (weights stay float32)."""
    return precision == "bf16" or (precision == "auto" and has_native_bf16(device))


def lightning_precision(precision: Precision, device: str) -> Any:
    """Lightning's name of the number format of training; weights stay float32.

    Raises:
        InputError: If the device does not compute it.
    """
    if precision == "fp16" and device != "cuda":
        raise InputError(f"--precision fp16: needs an NVIDIA GPU; {device} takes bf16 or fp32")
    if use_bf16(precision, device):
        return "bf16-mixed"
    half = precision == "fp16" or (precision == "auto" and device == "cuda")
    return "16-mixed" if half else "32-true"


def fit(
    task: Task,
    train_loader: Any,
    val_loader: Any,
    *,
    folder: Path,
    device: str,
    resume: bool,
    write_best: Callable[[dict[str, Tensor], dict[str, float]], None],
    watch: Stopwatch,
    pause_after: int | None = None,
) -> None:
    """Train a task in a run folder; ``model.safetensors`` there is the best evaluation's.

    Args:
        task: What to train.
        train_loader: A :class:`~datasets.loader.ResumableLoader`.
        val_loader: Loader of the validation split.
        folder: Gets checkpoint, metrics and TensorBoard files.
        device: ``cpu``, ``cuda`` or ``mps``.
        resume: Go on from the folder's checkpoint.
        write_best: Called with state dict and metrics of each new best evaluation.
        watch: Stopwatch of the run; its time is stored in the checkpoint.
        pause_after: Epoch, from 1, after whose evaluation the run pauses; resuming goes on as if
            it had not. None trains to the end.

    Raises:
        InterruptedRun: If a signal stopped it, after saving.
        FloatingPointError: If the loss became NaN, naming the images.
        InputError: If there is nothing to resume from, or a checkpoint of another run.
        OSError: If a file cannot be written.
    """
    _quieten()
    spec = task.fit_spec
    checkpoint = folder / LAST_NAME
    if resume and not checkpoint.exists():
        raise InputError(f"{folder}: no {LAST_NAME} to resume from")
    if spec.patience and task.monitor is None:
        raise InputError(f"--patience {spec.patience}: this training has no metric to go by")
    # Lightning's estimate of this would open the loader before a checkpoint could place it.
    task.epoch_steps = len(train_loader)
    compile_network(task, spec.compile)
    callbacks: list[pl.Callback] = [TotalProgress(f"training {folder}")]
    if spec.ema_decay > 0:
        callbacks.append(AveragedWeights(spec.ema_decay, local_device(device)))
    keeper = RunKeeper(
        folder,
        spec.save_minutes,
        write_best,
        watch,
        spec.patience,
        spec.accumulate,
        pause_after,
    )
    callbacks.append(keeper)

    def check(state: dict[str, Any]) -> None:
        refuse_other_run(
            state,
            task,
            loops=trainer.fit_loop.state_dict(),
            loader=train_loader.state_dict(),
            callbacks={keeper.state_key: keeper.state_dict()},
            path=checkpoint,
        )

    trainer = make_trainer(
        spec,
        device,
        check=check,
        callbacks=callbacks,
        logger=[MetricsFile(folder), TensorBoardLogger(folder, name="", version="tensorboard")],
        default_root_dir=folder,
    )
    task.train()  # Lightning leaves what it finds in evaluation mode there.
    trainer.fit(task, train_loader, val_loader, ckpt_path=str(checkpoint) if resume else None)


def make_trainer(
    spec: FitSpec,
    device: str,
    *,
    check: Callable[[dict[str, Any]], None] | None = None,
    **options: Any,
) -> pl.Trainer:
    """A Trainer on one device, or on all that torchrun started this process for.

    ``check`` sees a checkpoint before it is restored.
    """
    needed = _NEEDED + (_AVERAGES if spec.ema_decay > 0 else ())
    if spec.sync_bn and not (device == "cuda" and rank_and_world()[1] > 1):
        raise InputError(
            "--sync-bn is for several processes on GPUs: start them with torchrun, or leave it out"
        )
    torch.utils.deterministic.fill_uninitialized_memory = False  # Nobody reads such memory.
    strategy = "auto"
    if rank_and_world()[1] > 1:  # A body that is held for a while has no gradients to share.
        strategy = "ddp_find_unused_parameters_true" if spec.frozen_epochs else "ddp"
    return pl.Trainer(
        accelerator=device,
        devices=int(os.environ.get("LOCAL_WORLD_SIZE", 1)),
        num_nodes=int(os.environ.get("GROUP_WORLD_SIZE", 1)),
        strategy=strategy,
        sync_batchnorm=spec.sync_bn,
        precision=lightning_precision(spec.precision, device),
        max_epochs=spec.epochs,
        check_val_every_n_epoch=spec.eval_every,
        gradient_clip_val=spec.clip_norm or None,
        accumulate_grad_batches=spec.accumulate,
        # A run is repeated and resumed exactly; on GPUs a warning names each operator that has no
        # such form.
        deterministic="warn" if device == "cuda" else None,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        enable_model_summary=False,
        log_every_n_steps=_LOG_EVERY,
        plugins=[AtomicCheckpointIO(needed, check)],
        **options,
    )


def _quieten() -> None:
    """Lightning's hints concern things that are decided here."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for text in (
        "The '.*_dataloader' does not have many workers",
        "The number of training batches",
        "Checkpoint directory",
        "You are using a CUDA device",
        "`isinstance.treespec, LeafSpec.` is deprecated",
        "Experiment logs directory",
        "The `lr_scheduler.step",
        "Detected call of `lr_scheduler.step",
        "Precision bf16-mixed is not supported",
        r"module\(s\) in eval mode",
    ):
        warnings.filterwarnings("ignore", f".*{text}.*")
