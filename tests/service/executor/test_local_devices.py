"""Which worker is given which GPU, on invented ones: real processes, and the variable that each of them sees."""

import pytest

from traind.service.errors import NoSuchDevice
from traind.service.executor.base import Need
from traind.service.executor.devices import Device, find_devices
from traind.trainer.contract.control import Verb
from traind.trainer.contract.events import Log
from traind.trainer.worker.main import may_use_cuda

TWO = (Device(0, "GPU-aaaa", "First", 1 << 30), Device(1, "GPU-bbbb", "Second", 1 << 30))


async def seen(rig, worker) -> str:
    return (await rig.until(worker, Log)).message


async def test_each_job_sees_its_own_gpu_and_cpu_jobs_none(rig):
    rig = await rig(find_devices=lambda: TWO, count=1)
    assert (rig.slots.total, rig.slots.busy) == (3, 0)
    workers = [await rig.job("say_devices", device=device) for device in ("auto", "cuda", "cpu")]
    assert [await seen(rig, worker) for worker in workers] == ["GPU-aaaa", "GPU-bbbb", ""]
    assert rig.slots.busy == 3
    assert "2 of 2 that would do are in use" in rig.slots.why(Need(device="cuda")).message
    assert "1 of 1 slots" in rig.slots.why(Need(device="auto")).message
    for worker in workers:
        worker.ask(Verb.STOP)
        await rig.end(worker)


async def test_the_gpu_of_a_dead_worker_is_free_again_once_its_process_is_gone(rig, until):
    rig = await rig(find_devices=lambda: TWO, count=1)
    first = await rig.job("say_devices", device="cuda:1")
    assert await seen(rig, first) == "GPU-bbbb"
    assert rig.slots.why(Need(device="cuda:1")) is not None
    assert rig.slots.why(Need(device="cuda:0")) is None
    first.kill()
    await rig.end(first)
    await until(lambda: rig.slots.why(Need(device="cuda:1")) is None)
    assert first.process.gone.done()
    second = await rig.job("say_devices", device="cuda:1")
    assert await seen(rig, second) == "GPU-bbbb"
    second.kill()
    await rig.end(second)


async def test_a_gpu_that_is_not_there_is_final(rig):
    rig = await rig(find_devices=lambda: TWO)
    wait = rig.slots.why(Need(device="cuda:7"))
    assert wait.is_final
    assert "cuda:1 (Second)" in wait.message


async def test_without_gpus_nothing_is_hidden_and_a_wish_for_one_is_refused(rig, tmp_path, open_root):
    rig = await rig()
    worker = await rig.job("say_devices")
    assert await seen(rig, worker) == "as it was"
    worker.ask(Verb.STOP)
    await rig.end(worker)
    async with open_root(root=tmp_path, slots=1, devices="cpu") as service:
        for asked in ({"device": "cuda"}, {"device": "cuda:7"}, {"device": "cuda:7", "gpus": 1}, {"gpus": 2}):
            with pytest.raises(NoSuchDevice) as refused:
                await service.submit(asked)
            assert refused.value.details[0]["loc"] == next(iter(asked))
        job = await service.wait((await service.submit(epochs=1, synthetic={"rows": 100})).job_id)
        assert job.device == "cpu"


async def test_who_sets_devices_to_cpu_hides_the_gpus_that_there_may_be(rig):
    rig = await rig(hides_gpus=True)
    worker = await rig.job("say_devices")
    assert await seen(rig, worker) == ""
    worker.ask(Verb.STOP)
    await rig.end(worker)


async def test_a_service_that_is_told_of_a_gpu_that_is_not_there_does_not_start(tmp_path, open_root):
    with pytest.raises(NoSuchDevice, match="cuda:63"):
        async with open_root(root=tmp_path, slots=1, devices="cuda:63"):
            pass
    assert find_devices("cpu") == ()


@pytest.mark.parametrize(
    ("visible", "has_driver", "may"),
    [("GPU-aaaa", False, True), ("", True, False), (None, True, True), (None, False, False), ("", False, False)],
)
def test_memory_is_bounded_wherever_no_gpu_can_be_used(visible: str | None, has_driver: bool, may: bool) -> None:
    """CUDA maps far more than it uses: a limit would end each job on a card, and is kept for all others."""
    assert may_use_cuda(visible, has_driver=has_driver) is may
