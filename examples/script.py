"""A plain asyncio script: register data, train, watch, predict. No server, no port."""

import asyncio
from pathlib import Path

from traind import Epoch, TrainingService, TrainSpec

FEATURES = ("sqft_living", "bedrooms", "grade", "zipcode")
HOUSES = Path(__file__).parent.parent / "data/samples/house_prices.csv.gz"


async def main(root: str = "var", epochs: int = 3) -> float:
    async with TrainingService(root=root) as service:
        await service.put_dataset("houses", HOUSES)
        spec = TrainSpec(dataset="houses", target="price", features=FEATURES, epochs=epochs)
        job = await service.submit(spec)
        async for event in service.watch(job.job_id):
            if isinstance(event, Epoch):
                print(f"epoch {event.epoch}: rmse {event.metrics['rmse']:,.0f}")
        job = await service.wait(job.job_id)
        house = {"sqft_living": 2_000, "bedrooms": 3, "grade": 8, "zipcode": 98_103}
        prediction = await service.predict(job.job_id, [house])
        print(f"2,000 square feet in Fremont: {prediction.predictions[0]:,.0f}")
        return prediction.predictions[0]


if __name__ == "__main__":
    asyncio.run(main())
