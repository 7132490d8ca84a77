"""Studies on real workers: trainers of one's own, failures, restarts, lost databases, data that change meanwhile."""

import asyncio
from pathlib import Path

import pytest
import torch

from traind.data.errors import DatasetInUse
from traind.service.errors import InvalidSpec, NoSuchDevice

SMALL = {"epochs": 2, "synthetic": {"rows": 200, "columns": 3}, "batch_size": 64}
SPACE = {"lr": {"low": 1e-4, "high": 1e-1, "log": True}}
OWN = {name: f"{Path(__file__).stem}:{name}" for name in ("hill", "hopeless", "silent")}
WIDTH = {"options.width": {"low": 1, "high": 40}}


def hill(run):
    """Reports a score that is best at a width of 20."""
    run.start(total=3, epochs=3)
    for epoch in range(1, 4):
        run.report(step=epoch, total=3, loss=1.0)
        run.end_epoch(epoch, epochs=3, metrics={"score": epoch - abs(run.options["width"] - 20)})
    run.finish({"weights": {"w": torch.zeros(1)}})


def hopeless(run):
    raise ValueError(f"no luck with {run.options['width'] // 100}")


def silent(run):
    run.report(step=1, total=1, loss=0.5)
    run.finish({"weights": {"w": torch.zeros(1)}}, metrics={"validation": {"other": 1.0}})


@pytest.fixture
def trainers(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    return OWN


async def test_options_of_a_trainer_of_ones_own_are_searched(open_root, trainers, tmp_path):
    async with open_root(root=tmp_path, slots=2, trainers=trainers) as service:
        study = await service.submit_study(
            spec={"trainer": "hill"}, space=WIDTH, trials=20, metric="score", direction="maximize", seed=2
        )
        study = await service.wait_study(study.study_id)
        assert (study.status, study.failed, study.ensemble) == ("COMPLETED", 0, False)
        trials = await service.trials(study.study_id)
        for trial in trials:
            assert isinstance(trial.params["options.width"], int)
            if trial.status == "COMPLETED":
                assert trial.value == 3 - abs(trial.params["options.width"] - 20)
        assert study.best.value == max(trial.value for trial in trials if trial.status == "COMPLETED") >= 1


async def test_a_study_all_of_whose_trials_fail_says_the_commonest_reason(open_root, trainers, tmp_path):
    async with open_root(root=tmp_path, slots=2, trainers=trainers) as service:
        study = await service.submit_study(spec={"trainer": "hopeless"}, space=WIDTH, trials=30, metric="score")
        study = await service.wait_study(study.study_id)
        assert (study.status, study.reason, study.error.code) == ("FAILED", "failures", "trainer_error")
        assert "no luck with 0" in study.error.message
        assert study.suggested < 30
        assert study.failed == study.suggested


async def test_a_metric_that_no_trial_reports_is_named_with_those_it_does(open_root, trainers, tmp_path):
    async with open_root(root=tmp_path, slots=2, trainers=trainers) as service:
        study = await service.submit_study(spec={"trainer": "silent"}, space=WIDTH, trials=3, metric="score")
        study = await service.wait_study(study.study_id)
        assert (study.status, study.error.code) == ("FAILED", "no_metric")
        assert "'score'" in study.error.message
        assert "other" in study.error.message


async def test_an_ensemble_of_ones_own_models_is_refused(open_root, trainers, tmp_path):
    async with open_root(root=tmp_path, slots=1, trainers=trainers) as service:
        with pytest.raises(InvalidSpec) as refused:
            await service.submit_study(spec={"trainer": "hill"}, space=WIDTH, ensemble=True)
        assert refused.value.details[0]["loc"] == "ensemble"


async def test_the_first_trial_is_what_auto_would_have_trained(open_root, tmp_path):
    rows = [{"a": n % 17, "b": n % 5, "kind": "ab"[n % 3 // 2], "y": n % 17 + 0.1 * (n % 5)} for n in range(200)]
    async with open_root(root=tmp_path, slots=2) as service:
        await service.put_dataset("table", rows)
        for target in ("y", "kind"):
            spec = {"dataset": "table", "target": target, "epochs": 2}
            study = await service.submit_study(spec=spec, trials=1, ensemble=False)
            auto = await service.submit(spec)
            auto, study = await service.wait(auto.job_id), await service.wait_study(study.study_id)
            assert study.best.params == study.first
            first = await service.status(study.best.job_id)
            assert first.metrics == auto.metrics
            predicted = [await service.predict(one.job_id, rows[:9]) for one in (first, auto)]
            assert predicted[0].predictions == predicted[1].predictions


async def test_what_no_trial_could_ever_get_is_refused_before_any_is_made(open_root, tmp_path):
    async with open_root(root=tmp_path, slots=1, devices="cpu") as service:
        for asked in ({"gpus": 2}, {"device": "cuda"}):
            with pytest.raises(NoSuchDevice) as refused:
                await service.submit_study(spec=SMALL | asked, space=SPACE)
            assert refused.value.details[0]["loc"] == f"spec.{next(iter(asked))}"
        assert not (await service.studies()).studies


@pytest.mark.anywhere_long
async def test_a_study_stays_on_its_version_of_the_data(open_root, houses, tmp_path):
    rows = [{"a": n % 17, "b": n % 5, "y": n % 17 + 0.1 * (n % 5)} for n in range(300)]
    async with open_root(root=tmp_path, slots=1) as service:
        await service.put_dataset("table", rows)
        first = (await service.dataset("table")).digest
        spec = {"dataset": "table", "target": "y", "epochs": 2, "model": {"kind": "mlp", "hidden": [8]}}
        study = await service.submit_study(spec=spec, space=SPACE, trials=3, ensemble=False, parallel=1)
        await service.put_dataset("table", rows[:200])
        with pytest.raises(DatasetInUse):
            await service.delete_dataset("table")
        await service.wait_study(study.study_id)
        jobs = (await service.jobs(study=study.study_id)).jobs
        assert {job.dataset.digest for job in jobs} == {first}
        assert len(jobs) == 3


@pytest.mark.anywhere_long
async def test_a_deleted_trial_stays_on_record_and_the_study_goes_on(open_root, tmp_path):
    async with open_root(root=tmp_path, slots=1) as service:
        study = await service.submit_study(spec=SMALL, space=SPACE, trials=4, ensemble=False, parallel=1)
        async for event in service.watch_study(study.study_id):
            if event.__class__.__name__ == "TrialEnded":
                await service.delete(event.job_id)
                break
        study = await service.wait_study(study.study_id)
        assert (study.status, study.completed) == ("COMPLETED", 4)
        assert len(await service.trials(study.study_id)) == 4
        assert len((await service.jobs(study=study.study_id)).jobs) == 3


@pytest.mark.anywhere
async def test_a_study_goes_on_after_a_restart_and_after_its_database_is_lost(open_root, tmp_path):
    request = {"spec": SMALL, "space": SPACE, "trials": 6, "ensemble": False, "parallel": 1, "seed": 9}
    async with open_root(root=tmp_path / "calm", slots=1) as service:
        calm = await service.submit_study(study_id="one", **request)
        await service.wait_study("one")
        expected = [(trial.params, trial.value) for trial in await service.trials("one")]
    for life in range(3):
        async with open_root(root=tmp_path / "root", slots=1) as service:
            study = await service.submit_study(study_id="one", **request)
            if life == 2:
                study = await service.wait_study("one")
                found = [(trial.params, trial.value) for trial in await service.trials("one")]
            else:
                async with asyncio.timeout(60):
                    while (await service.study("one")).ended <= life:  # noqa: ASYNC110
                        await asyncio.sleep(0.02)
        if life == 1:
            for path in (tmp_path / "root" / "artifacts").glob("traind.db*"):
                path.unlink()
    assert (study.status, study.suggested) == ("COMPLETED", calm.trials)
    assert found == expected


@pytest.mark.anywhere_long
async def test_a_study_that_is_paused_before_its_first_trial_waits(open_root, tmp_path):
    async with open_root(root=tmp_path, slots=1) as service:
        study = await service.submit_study(spec=SMALL, space=SPACE, trials=2, ensemble=False)
        await service.pause_study(study.study_id)
        assert (await service.study(study.study_id)).status == "PAUSED"
        await service.resume_study(study.study_id)
        study = await service.wait_study(study.study_id)
        assert (study.status, study.completed) == ("COMPLETED", 2)


async def test_retention_spares_the_trials_of_a_study_that_is_not_over(open_root, tmp_path):
    async with open_root(root=tmp_path, slots=1) as service:
        study = await service.submit_study(spec=SMALL, space=SPACE, trials=3, ensemble=False, parallel=1)
        await service.wait_study(study.study_id)
        store = service.engine.journal.store
        assert len(await store.finished_before(None, 0)) == 3
        longer = await service.submit_study(spec=SMALL, space=SPACE, trials=500, ensemble=False)
        async for event in service.watch_study(longer.study_id):
            if event.__class__.__name__ == "TrialEnded":
                assert event.job_id not in await store.finished_before(None, 0)
                break
        await service.cancel_study(longer.study_id)
        await service.wait_study(longer.study_id)


async def test_a_study_whose_time_is_over_before_a_trial_has_a_value_says_so(open_root, tmp_path):
    async with open_root(root=tmp_path, slots=1) as service:
        study = await service.submit_study(spec=SMALL, space=SPACE, trials=3, max_seconds=1e-9)
        study = await service.wait_study(study.study_id)
        assert (study.status, study.reason, study.error.code) == ("FAILED", "max_seconds", "timed_out")
        assert study.error.hint == "Give it more max_seconds."
