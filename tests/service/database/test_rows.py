"""Domain values to rows and back."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from tunery.service.database.models import pack_snapshots, unpack_snapshots
from tunery.types import TuningSnapshot

_snapshots = st.builds(
    TuningSnapshot,
    step=st.integers(1, 2**32 - 1),
    epoch=st.integers(0, 2**32 - 1),
    mean_loss=st.floats(allow_nan=False),
    compute_time=st.datetimes(datetime(2024, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
)


@given(st.lists(_snapshots, max_size=20))
def test_snapshots_survive_packing_exactly(snapshots: list[TuningSnapshot]) -> None:
    """24 bytes a snapshot keep step, epoch, loss and time to the microsecond."""
    packed = pack_snapshots(snapshots)

    assert len(packed) == 24 * len(snapshots)
    assert unpack_snapshots(packed) == tuple(snapshots)
