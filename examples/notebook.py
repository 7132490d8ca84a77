"""A notebook, or a script without asyncio, against a running `traind serve`; cells as VS Code and Jupytext know."""

# %%
import os
from pathlib import Path

from traind import Epoch, SyncClient

client = SyncClient(os.environ.get("TRAIND_SERVER", "http://127.0.0.1:3001"))
client.health()

# %% A table: a file, bytes, or rows
houses = Path(__file__).parent.parent / "data/samples/house_prices.csv.gz"
client.put_dataset("houses", houses, on_progress=lambda sent, size: print(f"{sent} of {size} bytes"))

# %% Train, and watch
job = client.submit(dataset="houses", target="price", epochs=3, ignore=["id"])
for event in client.watch(job.job_id):
    if isinstance(event, Epoch):
        print(f"epoch {event.epoch}: rmse {event.metrics['rmse']:,.0f}")

# %% How good is it?
job = client.wait(job.job_id)
print(job.metrics["validation"], "against", job.metrics["baseline"])

# %% Predict on the server, or take the model home
preview = client.preview("houses", rows=3)
names = [column["name"] for column in preview["columns"]]
rows = [dict(zip(names, row, strict=True)) for row in preview["rows"]]
print(client.predict(job.job_id, rows).predictions)
print(client.model_path(job.job_id, to=Path(os.environ.get("OUT", "."), "houses.pt")))
