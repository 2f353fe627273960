"""Reports about tuned models: one of each kind, deleted with their model."""

from __future__ import annotations

import pytest

from tests.service.samples import a_request
from tunery.errors import NotFound
from tunery.service.library import Library


def test_a_report_is_read_as_it_was_stored(library: Library) -> None:
    """The document comes back unchanged; other kinds have none."""
    model = library.create(a_request())

    library.put_report(model, "EVALUATION", {"rows": 3, "text": "ä"})

    assert library.report(model, "EVALUATION") == {"rows": 3, "text": "ä"}
    assert library.report(model, "EXPORT_GGUF") is None


def test_the_newest_report_of_a_kind_counts(library: Library) -> None:
    """A second report replaces the first; other kinds and other models keep theirs."""
    model, other = library.create(a_request()), library.create(a_request())
    library.put_report(other, "EVALUATION", {"of": "other"})
    library.put_report(model, "EVALUATION", {"try": 1})
    library.put_report(model, "CURVE", {"try": 1})

    library.put_report(model, "EVALUATION", {"try": 2})

    found = library.reports(model)
    assert (found["EVALUATION"], found["CURVE"]) == ({"try": 2}, {"try": 1})
    assert library.report(other, "EVALUATION") == {"of": "other"}


def test_reports_go_with_their_model(library: Library) -> None:
    """A deleted model has no reports and accepts none."""
    model = library.create(a_request())
    library.put_report(model, "EVALUATION", {})

    library.delete(model.id)

    assert library.reports(model) == {}
    with pytest.raises(NotFound):
        library.put_report(model, "EVALUATION", {})
