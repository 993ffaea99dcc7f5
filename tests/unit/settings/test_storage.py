"""Where objects live: addresses, endpoints and credentials, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from everloop.core.errors import FileMissing, InvalidSettings
from everloop.settings import Settings, load_settings
from everloop.settings.storage import S3Access, s3_access

PLACE = "s3://bucket/pre/fix"
KEYS = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"}


def load(folder: Path, *flags: str, **variables: str) -> Settings:
    return load_settings(folder=folder, flags=flags, variables=variables)


def access(settings: Settings, place: str = PLACE) -> S3Access:
    return s3_access(settings.storage, place, settings.root, settings.variables)


def test_places_are_folders_of_the_project_or_addresses_in_s3(tmp_path: Path) -> None:
    usual = load(tmp_path)
    assert usual.data_place == str(tmp_path / ".everloop" / "data")
    assert usual.models_place == str(tmp_path / ".everloop" / "models")
    flags = ("paths.data_versions=s3://bucket/pre/fix/", "paths.model_registry=models")
    given = load(tmp_path, *flags)
    assert given.data_place == PLACE
    assert given.models_place == str(tmp_path / "models")


@pytest.mark.parametrize(
    "place", ["gs://bucket/x", "s3://", "s3://B_CKET/x", "s3:/bucket/x", "s3://bucket/x?y", "http://a/b"]
)
def test_what_is_neither_is_refused(tmp_path: Path, place: str) -> None:
    with pytest.raises(InvalidSettings, match=r"paths\.data_versions: .*neither a folder nor s3://") as told:
        load(tmp_path, f"paths.data_versions={place}")
    assert told.value.remedy == "Correct the value."


@pytest.mark.parametrize(
    ("place", "bucket", "prefix"),
    [(PLACE, "bucket", "pre/fix/"), ("s3://bucket", "bucket", ""), ("s3://a.b-c/x/", "a.b-c", "x/")],
)
def test_an_address_is_a_bucket_and_a_prefix(tmp_path: Path, place: str, bucket: str, prefix: str) -> None:
    found = access(load(tmp_path), place)
    assert (found.bucket, found.prefix) == (bucket, prefix)
    assert str(found) == f"s3://{bucket}/{prefix}"


def test_the_environment_says_what_settings_do_not(tmp_path: Path) -> None:
    found = access(
        load(
            tmp_path,
            AWS_ENDPOINT_URL="https://all.example",
            AWS_ENDPOINT_URL_S3="https://s3.example/",
            AWS_DEFAULT_REGION="here",
            AWS_SESSION_TOKEN="token",
            **KEYS,
        )
    )
    assert found == S3Access(
        "bucket", "pre/fix/", "https://s3.example", "here", "id", "secret", "token", timeout=60, retries=4
    )
    flags = ("storage.endpoint=https://mine.example", "storage.region=there", "storage.retries=0")
    mine = access(load(tmp_path, *flags, AWS_ENDPOINT_URL="https://all.example", AWS_REGION="here"))
    assert (mine.endpoint, mine.region, mine.retries, mine.access_key) == (
        "https://mine.example",
        "there",
        0,
        None,
    )
    assert access(load(tmp_path)).region == "us-east-1"


def test_dotenv_may_have_the_credentials(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("AWS_ACCESS_KEY_ID=id\nAWS_SECRET_ACCESS_KEY=secret\n")
    assert access(load(tmp_path)).secret_key == "secret"
    assert access(load(tmp_path, AWS_ACCESS_KEY_ID="other", AWS_SECRET_ACCESS_KEY="x")).access_key == "other"


def test_a_credentials_file_comes_before_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text(
        "[default]\naws_access_key_id = a\naws_secret_access_key = b%c\n"
        "[shop]\naws_access_key_id = d\naws_secret_access_key = e\naws_session_token = f\n"
    )
    flags = ["storage.credentials_file=credentials"]
    found = access(load(tmp_path, *flags, AWS_SESSION_TOKEN="stale", **KEYS))
    assert (found.access_key, found.secret_key, found.session_token) == ("a", "b%c", None)
    found = access(load(tmp_path, *flags, "storage.profile=shop"))
    assert (found.access_key, found.secret_key, found.session_token) == ("d", "e", "f")
    with pytest.raises(InvalidSettings, match="no profile 'shopp'") as told:
        access(load(tmp_path, *flags, "storage.profile=shopp"))
    assert told.value.remedy == "Did you mean 'shop'?"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("aws_access_key_id = hidden", "is no credentials file"),
        ("[default]\naws_access_key_id = hidden\n", "half of S3's credentials"),
        ("[default]\nregion = hidden\n", "has no aws_access_key_id"),
        ("[default]\nx = hidden\nx = hidden\n", "is no credentials file"),
    ],
)
def test_a_wrong_credentials_file_is_told_without_what_is_in_it(
    tmp_path: Path, text: str, match: str
) -> None:
    (tmp_path / "credentials").write_text(text)
    with pytest.raises(InvalidSettings, match=match) as told:
        access(load(tmp_path, "storage.credentials_file=credentials"))
    assert "hidden" not in str(told.value)
    assert told.value.__cause__ is None


def test_a_missing_credentials_file_and_half_of_the_credentials_are_said(tmp_path: Path) -> None:
    with pytest.raises(FileMissing, match="no credentials file"):
        access(load(tmp_path, "storage.credentials_file=credentials"))
    with pytest.raises(InvalidSettings, match="The environment has half"):
        access(load(tmp_path, AWS_ACCESS_KEY_ID="id"))


def test_an_endpoint_that_can_be_read_on_the_way_must_be_allowed(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="without encryption on the way") as told:
        access(load(tmp_path, "storage.endpoint=http://server:8333"))
    assert "storage.allow_http" in told.value.remedy
    allowed = ("storage.endpoint=http://server:8333", "storage.allow_http=true")
    assert access(load(tmp_path, *allowed)).endpoint == "http://server:8333"
    with pytest.raises(InvalidSettings, match="no address of an S3 server"):
        access(load(tmp_path, "storage.endpoint=server:8333"))


def test_secrets_do_not_show(tmp_path: Path) -> None:
    settings = load(tmp_path, AWS_SESSION_TOKEN="hush", **{**KEYS, "AWS_SECRET_ACCESS_KEY": "hidden"})
    for text in (repr(access(settings)), str(access(settings)), repr(settings), str(settings.model_dump())):
        assert "hidden" not in text
        assert "hush" not in text


def test_keys_have_one_source(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="not both"):
        load(tmp_path, "storage.encryption.key_file=a", "storage.encryption.key_variable=b")
    assert not load(tmp_path).storage.encryption.wanted
    assert load(tmp_path, "storage.encryption.key_variable=b").storage.encryption.wanted
