"""A real SLURM of one node on this machine: slurmctld, slurmd and GPUs that are only device files.

Debian's slurm-wlm as root is enough: no systemd, no cgroups, no munge and no accounting database. Everything
it writes lies below one folder.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.workflow.projects import venv_environment, wait_for

NUM_GPUS = 2  # as many jobs run at once, since each asks for one
NUM_CPUS = 4

_SLURM_CONF = """\
ClusterName=onenode
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ctld_port}
SlurmdPort={slurmd_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
# /proc is enough to find a job's processes; cgroups want a systemd
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
MpiDefault=none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
# the node says that it has as many CPUs as we claim
SlurmdParameters=config_overrides
ReturnToService=2
SchedulerParameters=sched_interval=1,bf_interval=1,sched_min_interval=0,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
# else the first job step takes all memory and the next one waits for ever
DefMemPerCPU=500
GresTypes=gpu
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/jobcomp.log
# without an accounting database a finished job is known for this long only
MinJobAge=3600
KillWait=20
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} CoresPerSocket={cpus} RealMemory={memory_mb} Gres=gpu:{gpus}
PartitionName=gpu Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


@dataclass(frozen=True)
class Slurm:
    """A running SLURM: where it lies, and the environment in which sbatch, squeue and Snakemake find it."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """The activated venv's environment with SLURM_CONF, and with a wrapper of srun that does not need it.

        The executor plugin drops every SLURM_* variable before the srun inside a job, because a real cluster
        has /etc/slurm/slurm.conf.
        """
        dropped = ("SLURM_", "SBATCH_", "SRUN_")
        environment = venv_environment()
        kept = {name: value for name, value in environment.items() if not name.startswith(dropped)}
        path = f"{self.folder / 'bin'}{os.pathsep}{environment['PATH']}"
        return {**kept, "SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": path}

    def call(self, *command: str) -> str:
        """The output of a SLURM command; CalledProcessError when it fails, TimeoutExpired after 30 s."""
        options = {"check": True, "capture_output": True, "text": True, "timeout": 30}
        return subprocess.run(command, env=self.environment, **options).stdout

    def jobs(self) -> list[dict[str, str]]:
        """Every job since the start, oldest first, with ISO times and the resources it got."""
        fields = {
            "id": "JobID",
            "comment": "Comment",
            "state": "State",
            "start": "StartTime",
            "end": "EndTime",
            "workdir": "WorkDir",
            "partition": "Partition",
            "gres": "tres-per-node",
            "memory": "MinMemory",
            "limit": "TimeLimit",
        }
        layout = ",".join(f"{name}:|" for name in fields.values())
        lines = self.call("squeue", "--noheader", "--states=all", "--sort=i", "-O", layout).splitlines()
        return [dict(zip(fields, line.split("|"))) for line in lines]


def missing() -> str | None:
    """Why SLURM cannot be started here, in a few words, or None."""
    if os.geteuid() != 0:
        return "starting SLURM needs root"
    commands = ("slurmctld", "slurmd", "sbatch", "squeue", "srun")
    absent = [name for name in commands if shutil.which(name) is None]
    return f"{', '.join(absent)} not installed; run: make test-cluster" if absent else None


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Slurm]:
    """Start SLURM below `folder`; in the end cancel every job that is left and stop it."""
    slurm = Slurm(folder)
    _write_configuration(folder)
    with contextlib.ExitStack() as daemons:
        for command in (["slurmctld", "-D", "-c"], ["slurmd", "-D"]):
            daemons.enter_context(_daemon(command, slurm))
        daemons.callback(_end_jobs, slurm)
        wait_for(lambda: _node_state(slurm) == "idle", seconds=30, explain=lambda: _last_words(folder))
        yield slurm


@contextlib.contextmanager
def _daemon(command: list[str], slurm: Slurm) -> Iterator[None]:
    """Run a daemon until the block ends; the kernel ends it too when this process is killed."""
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, env=slurm.environment, preexec_fn=_die_with_parent, **silent)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _die_with_parent() -> None:
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


def _node_state(slurm: Slurm) -> str:
    try:
        return slurm.call("sinfo", "--noheader", "-o", "%T").strip()
    except subprocess.SubprocessError:
        return "no answer yet"


def _end_jobs(slurm: Slurm) -> None:
    """A job that outlives slurmd would go on without anyone to stop it."""
    with contextlib.suppress(subprocess.SubprocessError, AssertionError):
        slurm.call("scancel", "--user=root")
        wait_for(lambda: not slurm.call("squeue", "--noheader").strip(), seconds=60)


def _write_configuration(folder: Path) -> None:
    for name in ("state", "spool", "dev", "bin"):
        (folder / name).mkdir(parents=True)
    for number in range(NUM_GPUS):
        # SLURM hands out GPUs by their device files but never opens one, so plain files will do.
        (folder / "dev" / f"gpu{number}").touch()
    host = socket.gethostname().split(".")[0]
    memory_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20 - 256
    ctld_port, slurmd_port = _free_ports(2)
    (folder / "slurm.conf").write_text(
        _SLURM_CONF.format(
            folder=folder,
            host=host,
            ctld_port=ctld_port,
            slurmd_port=slurmd_port,
            cpus=NUM_CPUS,
            gpus=NUM_GPUS,
            memory_mb=memory_mb,
        )
    )
    (folder / "gres.conf").write_text(f"NodeName={host} Name=gpu File={folder}/dev/gpu[0-{NUM_GPUS - 1}]\n")
    wrapper = folder / "bin" / "srun"
    wrapper.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {shutil.which("srun")} "$@"\n')
    wrapper.chmod(0o755)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _last_words(folder: Path) -> str:
    logs = [folder / "slurmctld.log", folder / "slurmd.log"]
    return "".join(log.read_text()[-3000:] for log in logs if log.exists())
