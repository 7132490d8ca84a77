"""scikit-learn's own checks of an estimator, all of them; and what people do with one."""

import pickle
from pathlib import Path
from unittest import SkipTest

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from traind import load_model
from traind.sklearn import TraindClassifier, TraindRegressor

QUICK = {"model": "fast", "epochs": 8}


@parametrize_with_checks([TraindRegressor(**QUICK), TraindClassifier(**QUICK)])
def test_scikit_learns_own_checks_pass(estimator, check):
    try:
        check(estimator)
    except SkipTest as skipped:  # scikit-learn's own word where arrays of other libraries are switched off
        if "SCIPY_ARRAY_API" not in str(skipped):
            raise


@pytest.fixture(scope="module")
def cells():
    """Numbers and texts with gaps, as DataFrames have them, and a target that follows from both."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"size": rng.normal(100, 20, 400), "town": rng.choice(["Ulm", "Bonn", "Kiel"], 400)})
    price = 3 * frame["size"] + frame["town"].map({"Ulm": 0, "Bonn": 100, "Kiel": 300}) + rng.normal(0, 5, 400)
    frame.loc[::50, "town"] = None
    frame.loc[7::50, "size"] = np.nan
    return frame, price


def test_frames_of_numbers_and_texts_with_gaps(cells, tmp_path: Path):
    frame, price = cells
    model = TraindRegressor(random_state=0).fit(frame, price)
    assert model.score(frame, price) > 0.8
    assert list(model.feature_names_in_) == ["size", "town"]
    same = pl.DataFrame({name: frame[name].replace({np.nan: None}).to_list() for name in frame}, strict=False)
    as_polars = TraindRegressor(random_state=0).fit(same, price.to_numpy())
    assert np.array_equal(as_polars.predict(same), model.predict(frame))
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.predict(frame), model.predict(frame))
    model.save(tmp_path / "m.pt")
    rows = frame.head(5).replace({np.nan: None}).to_dict("records")
    assert np.allclose(list(load_model(tmp_path / "m.pt").predict(rows)), model.predict(frame.head(5)))


def test_the_same_random_state_is_the_same_model_and_the_callers_streams_are_left(cells):
    frame, price = cells
    np.random.seed(5)  # noqa: NPY002 - the stream that programs share
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = TraindRegressor(random_state=3, **QUICK).fit(frame, price)
    assert np.array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    second = clone(first).fit(frame, price)
    assert np.array_equal(first.predict(frame), second.predict(frame))
    other = TraindRegressor(random_state=4, **QUICK).fit(frame, price)
    assert not np.array_equal(first.predict(frame), other.predict(frame))


def test_labels_come_back_as_they_were_and_probabilities_in_their_order():
    rows, labels = load_breast_cancer(return_X_y=True)
    for given in (labels, labels.astype(bool), np.where(labels == 1, "good", "bad"), labels * 7 - 3):
        model = TraindClassifier(random_state=0, **QUICK).fit(rows, given)
        assert model.predict(rows).dtype == given.dtype
        assert model.score(rows, given) > 0.9
        found = model.predict_proba(rows)
        assert found.shape == (len(rows), 2)
        assert np.allclose(found.sum(axis=1), 1.0, atol=1e-6)
        assert np.array_equal(model.classes_[found.argmax(axis=1)], model.predict(rows))


def test_in_pipelines_cross_validation_and_searches(cells):
    rows, target = load_diabetes(return_X_y=True)
    scores = cross_val_score(make_pipeline(StandardScaler(), TraindRegressor(random_state=0)), rows, target, cv=3)
    assert scores.mean() > 0.35
    frame, price = cells
    columns = make_column_transformer(
        (StandardScaler(), make_column_selector(dtype_include="number")), remainder="passthrough"
    ).set_output(transform="pandas")
    search = GridSearchCV(
        make_pipeline(columns, TraindRegressor(random_state=0, **QUICK)), {"traindregressor__lr": [1e-3, 1e-2]}, cv=2
    )
    assert search.fit(frame, price).best_params_["traindregressor__lr"] in (1e-3, 1e-2)


@pytest.mark.parametrize(
    ("parameters", "named"), [({"epochs": 0}, "epochs"), ({"model": "wrong"}, "model"), ({"lr": -1.0}, "lr")]
)
def test_a_wrong_parameter_is_named(cells, parameters, named):
    with pytest.raises(Exception, match=named):
        TraindRegressor(**parameters).fit(*cells)
