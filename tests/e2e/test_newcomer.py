"""The story of somebody who has a file and has never seen this: from the upload to a prediction."""

import asyncio
import json
import re
import shutil
from pathlib import Path

import pytest
from playwright.async_api import expect

pytestmark = pytest.mark.e2e


async def test_a_file_becomes_a_model_that_predicts(serve, visitor, houses, tmp_path):
    server = serve("--slots", "1", root=tmp_path / "root")
    file = tmp_path / "House Prices (King County).csv.gz"
    shutil.copy(houses, file)
    page = await visitor.open(server.url)
    await expect(page.get_by_text("Train a model on your table")).to_be_visible()

    await page.set_input_files("#file", file)
    await expect(page.get_by_role("heading", name="House-Prices-King-County")).to_be_visible()
    await expect(page.get_by_label("Kind of price")).to_have_value("numeric")

    await page.get_by_role("link", name="Train a model on it").click()
    await page.get_by_label("Column to predict").select_option("price")
    await page.get_by_role("radio", name="Fast").check()
    await page.get_by_label("Epochs").fill("3")
    outlook = page.get_by_label("What will happen")
    await expect(outlook.get_by_text("regression")).to_be_visible()
    await expect(outlook).to_contain_text("Parameters")

    await page.get_by_role("button", name="Start training").click()
    await expect(page.locator(".badge")).to_have_text("Completed")
    loss = re.compile(r"Loss over steps. Newest: training [0-9.]+")
    await expect(page.get_by_role("img", name=loss)).to_be_visible()
    await expect(page.get_by_role("table").first).to_contain_text("RMSE")

    await page.get_by_role("button", name="Predict", exact=True).click()
    price = float((await page.locator("output").inner_text()).replace(",", ""))
    assert 50_000 < price < 1_000_000
    async with page.expect_download() as download:
        await page.get_by_role("button", name="Model", exact=True).click()
    assert (await (await download.value).path()).stat().st_size > 1_000
    async with page.expect_download() as download:
        await page.get_by_role("button", name="Export as safetensors").click()
    assert (await download.value).suggested_filename.endswith(".safetensors")
    curl = await page.get_by_label("Code", exact=True).inner_text()
    asked = await asyncio.create_subprocess_exec("bash", "-c", curl, stdout=asyncio.subprocess.PIPE)
    assert b'"predictions"' in (await asked.communicate())[0]


async def test_how_a_file_is_written_can_be_said(serve, visitor, tmp_path):
    server = serve("--slots", "1", root=tmp_path / "root")
    file = tmp_path / "shop.csv"
    rows = (f"{i % 7},{i % 10}\t{'new' if i % 9 else 'none yet'}\t{'yn'[i % 2]}" for i in range(200))
    file.write_text("made by hand\nprice\tstate\tsold\n" + "\n".join(rows))
    page = await visitor.open(server.url)
    await page.get_by_text("Say how the file is written").click()
    await page.get_by_label("Delimiter").fill("tab")
    await page.get_by_label("Decimal").select_option(",")
    await page.get_by_label("Lines to skip").fill("1")
    await page.get_by_label("Words for missing values").fill("none yet")
    await page.set_input_files("#file", file)
    await expect(page.get_by_label("Kind of price")).to_have_value("numeric")
    await expect(page.get_by_role("row", name="state categorical")).to_contain_text("12%")

    await page.get_by_role("link", name="Train a model on it").click()
    await page.get_by_label("Column to predict").select_option("sold")
    await page.get_by_text("All settings").click()
    asked = []
    page.on("request", lambda request: asked.append(request.post_data_json) if request.post_data else None)
    await page.get_by_label("Positive class").fill("n")
    await page.get_by_label("Class weights").select_option("balanced")
    await page.get_by_label("Keep within the range").select_option("no")
    await page.get_by_label("Words for missing values").fill("new, none yet")
    outlook = page.get_by_label("What will happen")
    await expect(outlook).to_contain_text("binary")
    await expect(outlook).to_contain_text("'state' is left out: every cell is missing")
    told = {"positive": "n", "class_weights": "balanced", "clamp": False, "read": {"missing": ["new", "none yet"]}}
    assert asked[-1] == {"dataset": "shop", "target": "sold", **told}


async def test_synthetic_data_is_one_click_away(serve, visitor):
    server = serve("--slots", "1")
    page = await visitor.open(server.url)
    await page.get_by_role("button", name="Train on synthetic data").click()
    await expect(page.get_by_role("heading", name="First try")).to_be_visible()
    await expect(page.locator(".badge")).to_have_text("Completed")
    await page.get_by_role("button", name="Predict", exact=True).click()
    await expect(page.locator("output")).to_have_text(re.compile(r"^-?[0-9.]+$"))


async def test_what_is_wrong_stands_beside_its_field(serve, visitor):
    visitor.tolerated = ["status of 422"]
    server = serve("--slots", "1")
    page = await visitor.open(server.url)
    await page.route("**/api/datasets", late)  # what is typed meanwhile must not be written over
    await page.goto(f"{server.url}/#/new")
    await page.get_by_label("Epochs").fill("-3")
    await expect(page.locator("#field-epochs-problem")).not_to_be_empty()
    await page.get_by_role("button", name="Start training").click()
    await expect(page.locator(".notice.problem")).to_be_visible()
    assert "#/new" in page.url
    await page.get_by_label("Epochs").fill("2")
    await expect(page.locator("#field-epochs-problem")).to_be_hidden()


async def late(route):
    await asyncio.sleep(0.5)
    await route.continue_()


async def test_house_prices_are_one_click_away(serve, visitor):
    server = serve("--slots", "1")
    page = await visitor.open(server.url)
    await page.get_by_role("button", name="Try it on house prices").click()
    await expect(page.get_by_role("heading", name="House prices")).to_be_visible()
    await expect(page.locator(".job-title")).to_contain_text("house_prices → price")
    await expect(page.locator(".badge")).to_have_text("Completed", timeout=250_000)


async def test_the_column_to_predict_is_asked_for(serve, visitor, talk, houses):
    server = serve("--slots", "1")
    async with talk(server.url) as program:
        await program.put("houses", houses.read_bytes())
    page = await visitor.open(f"{server.url}/#/new?dataset=houses")
    await expect(page.get_by_label("What will happen")).to_contain_text("Choose the column to predict first")
    await page.get_by_role("button", name="Start training").click()
    await expect(page.locator("#field-target-problem")).to_have_text("Choose the column to predict.")
    assert "#/new" in page.url
    await page.get_by_label("Column to predict").select_option("price")
    await expect(page.get_by_label("What will happen")).to_contain_text("Parameters")
    await expect(page.locator("#field-target-problem")).to_be_hidden()


async def test_a_trainer_of_ones_own_is_shown_as_what_it_is(serve, visitor, talk):
    trainer = Path(__file__).parent.parent / "service/cli/writing_trainer.py"
    server = serve("--slots", "1", "--trainers", json.dumps({"writing": f"{trainer}:train"}))
    async with talk(server.url) as program:
        options = {"go": str(trainer)}
        job_id = await program.until(await program.submit(trainer="writing", options=options))
    page = await visitor.open(f"{server.url}/#/job/{job_id}")
    await expect(page.locator(".badge")).to_have_text("Completed")
    settings = page.locator(".settings")
    await expect(settings).to_contain_text("writing")
    await expect(settings).not_to_contain_text("Data set")
    await expect(page.locator(".facts")).not_to_contain_text("Epoch\n0")
    await expect(page.get_by_label("Code", exact=True)).not_to_contain_text("{}")
    await page.get_by_role("button", name="Show output").click()
    await expect(page.get_by_label("Output")).to_contain_text("over")
