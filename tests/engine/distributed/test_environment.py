"""Which rank a process is, from what torchrun or srun says."""

from pathlib import Path

import pytest

from gantrain.engine.distributed.environment import ProcessInfo, from_environment, is_rank_zero
from gantrain.errors import ConfigError

TORCHRUN = {
    "RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4",
    "MASTER_ADDR": "node7", "MASTER_PORT": "29500",
}  # fmt: skip
SRUN = {
    "SLURM_JOB_ID": "41", "SLURM_STEP_ID": "0", "SLURM_NTASKS": "6", "SLURM_STEP_NUM_TASKS": "6",
    "SLURM_PROCID": "4", "SLURM_LOCALID": "1", "SLURM_NODEID": "2",
    "SLURM_STEP_NODELIST": "n0", "SLURM_STEP_TASKS_PER_NODE": "2(x2),1,1",
}  # fmt: skip


def test_torchrun() -> None:
    assert from_environment(TORCHRUN) == ProcessInfo(5, 8, 1, 4, "node7", 29500, "torchrun")
    assert not is_rank_zero(TORCHRUN) and is_rank_zero({**TORCHRUN, "RANK": "0"})


def test_torchrun_inside_of_a_slurm_step_wins() -> None:
    assert from_environment({**SRUN, **TORCHRUN}) == from_environment(TORCHRUN)


def test_a_task_of_a_step() -> None:
    found = from_environment(SRUN)
    assert found and (found.rank, found.size, found.local_rank) == (4, 6, 1)
    assert found.address == "n0" and found.source == "srun"
    assert found.local_size == 1  # node 2 of 2, 2, 1, 1
    assert from_environment({**SRUN, "SLURM_NODEID": "1"}).local_size == 2  # type: ignore[union-attr]
    again = from_environment({**SRUN, "SLURM_STEP_ID": "1"})
    assert again and again.port != found.port  # steps side by side do not meet
    assert 20000 <= found.port < 30000


def test_nodes_are_told_by_scontrol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scontrol = tmp_path / "scontrol"
    scontrol.write_text(
        '#!/bin/sh\n[ "$*" = "show hostnames n[3-5]" ] && printf "n3\\nn4\\nn5\\n"\n'
    )
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    found = from_environment({**SRUN, "SLURM_STEP_NODELIST": "n[3-5]"})
    assert found and found.address == "n3"
    with pytest.raises(ConfigError, match="set MASTER_ADDR"):
        from_environment({**SRUN, "SLURM_STEP_NODELIST": "m[3-5]"})
    found = from_environment({**SRUN, "SLURM_STEP_NODELIST": "m[3-5]", "MASTER_ADDR": "m3"})
    assert found and found.address == "m3"


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"SLURM_JOB_ID": "41", "SLURM_NTASKS": "8", "SLURM_PROCID": "0"},  # a batch script
        {**SRUN, "SLURM_STEP_NUM_TASKS": "1"},
    ],
)
def test_a_process_on_its_own(environment: dict[str, str]) -> None:
    assert from_environment(environment) is None and is_rank_zero(environment)


def test_half_a_mapping_is_refused() -> None:
    with pytest.raises(ConfigError, match="RANK, WORLD_SIZE set, but not LOCAL_RANK"):
        from_environment({"RANK": "0", "WORLD_SIZE": "2"})
    without = {name: value for name, value in SRUN.items() if name != "SLURM_PROCID"}
    with pytest.raises(ConfigError, match="6 tasks, but SLURM_PROCID does not say"):
        from_environment(without)
