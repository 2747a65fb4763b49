from hypothesis import given, settings
from hypothesis import strategies as st

from recface.tracking.config_hash import config_hash, run_path, without

CONFIG = {"seed": 0, "paths": {"runs": "a"}, "loss": {"kl": 0.001, "pixel": 8.0}, "layers": [1, 2]}

values = st.one_of(st.integers(), st.booleans(), st.none(), st.text(max_size=4), st.floats(allow_nan=False))


def test_hash_is_eight_hex_digits():
    digest = config_hash(CONFIG)
    assert len(digest) == 8
    int(digest, 16)


def test_hash_does_not_depend_on_notation_or_order():
    other = {"layers": (1.0, 2), "loss": {"pixel": 8, "kl": "1e-3"}, "seed": 5, "paths": {}, "logger": "wandb"}
    assert config_hash(CONFIG) == config_hash(other)


def test_hash_depends_on_every_other_value():
    digests = {
        config_hash(CONFIG),
        config_hash(CONFIG | {"loss": {"kl": 0.002, "pixel": 8}}),
        config_hash(CONFIG | {"loss": {"kl": 0.001}}),
        config_hash(CONFIG | {"layers": [2, 1]}),
        config_hash(CONFIG | {"flag": True}),
        config_hash(CONFIG | {"flag": 1}),
        config_hash(CONFIG | {"flag": None}),
    }
    assert len(digests) == 7


def test_dotted_keys_are_ignored_deep_down():
    near = {"face_model": {"name": "ict", "path": "/a"}}
    far = {"face_model": {"name": "ict", "path": "/b"}}
    assert config_hash(near) != config_hash(far)
    assert config_hash(near, ["face_model.path"]) == config_hash(far, ["face_model.path"])
    assert without(near, ["face_model.path"]) == {"face_model": {"name": "ict"}}
    assert near["face_model"]["path"] == "/a"


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(st.text(min_size=1, max_size=5), values, max_size=6))
def test_hash_is_the_same_in_reverse_order(config):
    assert config_hash(config) == config_hash(dict(reversed(config.items())))


def test_run_path():
    assert run_path("runs", "sir", "0123abcd", 2).as_posix() == "runs/sir/0123abcd/seed=2"


def test_what_runs_did_before_a_key_was_there_has_their_hash():
    before = {"scale": {"name": "small", "image_size": 64}, "seed": 0}
    assert config_hash(before) == config_hash(before | {"scale": before["scale"] | {"appearance": "plain"}})
    assert config_hash(before) != config_hash(before | {"scale": before["scale"] | {"appearance": "lifelike"}})
