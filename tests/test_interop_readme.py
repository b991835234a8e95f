"""The twenty lines of the README about pipelines say what is true."""

import re
from pathlib import Path

import pytest
import torch

pytest.importorskip("diffusers")
README = (Path(__file__).parents[1] / "README.md").read_text()


@pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")
def test_a_saved_pipeline_gives_the_librarys_own_images(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = re.search(r"<!-- pipelines -->\n```python\n(.*?)```\n<!-- /pipelines -->", README, re.DOTALL)[1]
    assert len([line for line in code.splitlines() if line]) <= 20
    names = {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        exec(code, names)
    apart, scheduler = float(capsys.readouterr().out.splitlines()[-1]), names["pipe"].scheduler
    # float32 in [0, 1]
    assert apart == abs(names["images"] - names["expected"]).max() < 32 * 2**-24
    assert type(scheduler).__name__ == "PlanScheduler" and scheduler.config.sampler == "unipc_3"
    # and these are images: neither one colour nor all cut off
    assert 0.05 < names["images"].std() and ((names["images"] > 0) & (names["images"] < 1)).mean() > 0.3
    assert names["x"].isfinite().all() and names["plan"].nfe == 10
    assert (tmp_path / "pipeline" / "scheduler" / "scheduler_config.json").exists()
