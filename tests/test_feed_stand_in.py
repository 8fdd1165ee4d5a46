"""The feed of what nobody knows: it makes something of any input, the same every time."""

from harness.models.feeds import make_feed
from harness.spec import Model, TensorSpec


def test_a_stand_in_makes_something_of_every_shape_and_type():
    inputs = (
        TensorSpec(name="picture", shape=(2, 3, 16, 48)),
        TensorSpec(name="bytes", shape=(1, 64, 64, 3), dtype="uint8"),
        TensorSpec(name="grey", shape=(1, 1, 32, 32), dtype="float16"),
        TensorSpec(name="state", shape=(2, 1, 128)),
        TensorSpec(name="ids", shape=(1, 9), dtype="int64"),
        TensorSpec(name="scalar", shape=(), dtype="bool"),
    )
    model = Model(name="net", feed="stand_in", inputs=inputs)

    feed, again, other = make_feed(model), make_feed(model), make_feed(model, seed=1)

    assert all((feed[name] == again[name]).all() for name in feed)
    assert (feed["picture"] != other["picture"]).any()
    assert feed["bytes"].max() > 100
    assert abs(feed["picture"]).max() < 3
    assert feed["grey"].std() > 0.01
    assert feed["state"].std() > 0.1
    assert set(feed["ids"].flat) == {0, 1}
