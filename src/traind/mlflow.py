"""How MLflow loads the models that jobs leave in its runs: `mlflow.pyfunc.load_model("runs:/<run_id>/model")`.

`predict` takes a DataFrame with the columns of the training, and gives one with `prediction`, and for classes
`probability_<label>`. Called by MLflow; the runs are written by `traind serve --mlflow`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


class MlflowModel:
    """A finished model, as MLflow calls it."""

    def __init__(self, path: str) -> None:
        from traind.trainer.model.model import load_model

        self.model = load_model(path)

    def predict(self, model_input: "pd.DataFrame", params: dict[str, Any] | None = None) -> "pd.DataFrame":  # noqa: ARG002
        """Predict one row for each row of a DataFrame."""
        import pandas as pd

        predicted = self.model.predict(model_input.to_dict("records"))
        columns: dict[str, Any] = {"prediction": list(predicted)}
        for row in (predicted.probabilities or ())[:1]:
            for label in row:
                columns[f"probability_{label}"] = [one[label] for one in predicted.probabilities or ()]
        return pd.DataFrame(columns, index=model_input.index)


def _load_pyfunc(path: str) -> MlflowModel:
    """Return the model in a file, as MLflow wants it."""
    return MlflowModel(path)
