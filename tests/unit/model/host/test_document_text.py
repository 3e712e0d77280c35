import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from bootcpy.model.host.deployments import BootState, Unlocked
from bootcpy.model.host.document import Host
from bootcpy.model.host.document_schema import schema, schema_text
from bootcpy.model.host.document_text import (
    host_tree,
    to_json,
    to_yaml,
)
from bootcpy.model.host.status import host_from_state
from tests.unit.model.host.states import DIGEST_2, deployment, record, state

_SCHEMA_FILE = Path(__file__).parents[4] / "docs" / "host-v1.schema.json"

_NOT_DEPLOYED = (
    '{"apiVersion":"org.containers.bootc/v1","kind":"BootcHost","metadata":{"name":"host"},'
    '"spec":{"bootOrder":"default","image":null},"status":{"booted":null,"readOnly":false,'
    '"rollback":null,"rollbackQueued":false,"staged":null,"type":null,"usrOverlay":null}}'
)

_FULL = host_from_state(
    state(
        deployment("aa", index=0, staged=True, finalization_locked=True, digest=DIGEST_2),
        deployment(
            "bb",
            index=1,
            booted=True,
            unlocked=Unlocked.DEVELOPMENT,
            image="ostree-image-signed:oci:/mnt/os: it's odd",
            cached_update=record(DIGEST_2, labels={"version": "1.10"}),
        ),
        deployment("cc", index=2, serial=3, image="ostree-remote-image:debian:docker://x/y"),
        deployment("dd", index=3, pinned=True),
        deployment("ee", index=4, stateroot="other", image=None, digest=None),
    )
)
HOSTS = {
    "not deployed": host_from_state(BootState()),
    "full": _FULL,
    "plain ostree": host_from_state(state(deployment(booted=True, image=None, digest=None))),
}


def test_to_json_of_a_host_that_is_not_deployed() -> None:
    assert to_json(host_from_state(BootState())) == _NOT_DEPLOYED


def test_to_yaml_keeps_the_order_of_the_types() -> None:
    booted = deployment(
        "bb",
        booted=True,
        image="ostree-image-signed:oci:/mnt/os",
        cached_update=None,
    )
    entry = """\
    image:
      image:
        image: /mnt/os
        transport: oci
        signature: containerPolicy
      version: null
      timestamp: null
      imageDigest: sha256:1111111111111111111111111111111111111111111111111111111111111111
      architecture: amd64
    cachedUpdate: null
    incompatible: false
    pinned: false
    softRebootCapable: false
    downloadOnly: false
    store: ostreeContainer
    ostree:
      stateroot: default
      checksum: bb
      deploySerial: 0
    composefs: null
"""
    assert to_yaml(host_from_state(state(booted))) == (
        """\
apiVersion: org.containers.bootc/v1
kind: BootcHost
metadata:
  name: host
spec:
  image:
    image: /mnt/os
    transport: oci
    signature: containerPolicy
  bootOrder: default
status:
  staged: null
  booted:
"""
        + entry
        + """\
  rollback: null
  rollbackQueued: false
  type: bootcHost
  usrOverlay: null
  readOnly: false
"""
    )


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS.keys())
def test_both_forms_say_the_same(host: Host) -> None:
    assert json.loads(to_json(host)) == host_tree(host)
    assert yaml.safe_load(to_yaml(host)) == host_tree(host)


@pytest.mark.parametrize(
    "version",
    ["1.10", "1e3", "7", "0x1f", "yes", "null", "~", "", " x", "x ", "x: y", "x #y", "#x", "- x",
     "'", '"', "{x}", "[x]", "*x", "&x", "!x", "%x", "@x", "`x", "x:", "a\nb", "ä", "1:30", "-",
     "12_000", ".5", "+1", "=", "<<", "2026-01-01", "NaN", ".inf"],
)  # fmt: skip
def test_to_yaml_quotes_what_would_not_be_read_as_a_string(version: str) -> None:
    booted = replace(
        deployment(booted=True),
        stateroot=version,
    )
    tree = yaml.safe_load(to_yaml(host_from_state(state(booted))))
    # Dates are the one thing bootc leaves bare that YAML 1.1 gives a type of its own.
    assert str(tree["status"]["booted"]["ostree"]["stateroot"]) == version


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS.keys())
def test_every_document_satisfies_the_schema(host: Host) -> None:
    jsonschema.Draft202012Validator(schema()).validate(json.loads(to_json(host)))


def test_schema_refuses_what_is_no_host_document() -> None:
    document: dict[str, Any] = json.loads(to_json(_FULL))
    document["status"]["booted"]["pinned"] = None
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema()).validate(document)


def test_schema_file_is_current() -> None:
    assert _SCHEMA_FILE.read_text(encoding="utf-8") == schema_text()


def test_what_is_not_printable_is_read_back_from_yaml_and_escaped_in_it() -> None:
    version = "1\n\x1b[2J\x7f\x9b\u2028\u202e\U000e0041\ufeff"
    host = host_from_state(state(deployment(booted=True, cached_update=None)))
    booted = host.status.booted
    assert booted is not None
    assert booted.image is not None
    image = replace(booted.image, version=version, architecture="amd64\u202e")
    odd = replace(host, status=replace(host.status, booted=replace(booted, image=image)))
    text = to_yaml(odd)
    assert text.replace("\n", "").isprintable()
    read = yaml.safe_load(text)["status"]["booted"]["image"]
    assert (read["version"], read["architecture"]) == (version, "amd64\u202e")
