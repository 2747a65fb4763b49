"""Train and evaluate one experiment: python src/run.py +experiment=sir seed=1 [key=value ...]."""

from __future__ import annotations

import sys
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf

from recface.output import quiet_pipe
from recface.settings.compose import past_hydra, run_command
from recface.settings.overrides import own_overrides


@hydra.main(version_base="1.3", config_path="../configs", config_name="run")
def main(config: DictConfig) -> float:
    """Run one configuration and print where its record is."""
    from hydra.core.hydra_config import HydraConfig

    with past_hydra():
        plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
        from recface.run.experiment import run_experiment  # torch is imported only when there is something to train

        folder = run_experiment(plain, overrides=own_overrides(HydraConfig.get().overrides.task))
        print(folder.record_path)
        return folder.record.metrics["validation"]["geometry_auc"]


if __name__ == "__main__":
    sys.exit(quiet_pipe(lambda: run_command(main)))
