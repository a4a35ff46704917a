"""The service for programs: its three forms of a request, its description, token and counters."""

from __future__ import annotations

import base64
import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.openapi.models import OpenAPI

from configs.common import Common
from configs.serve import Serve
from datasets.errors import InputError
from tasks import load
from tasks.application import PhotoApplication
from tasks.applications import APPLICATIONS
from tests.conftest import Tool
from tests.exports import Exports
from tests.json_results import fault_in
from tests.tools.page_client import BINARY, LIMITS, ask, form_of, raw, request, serving, simple
from tests.tools.page_models import TASKS, make_models, photo
from tests.tools.runs import ROOT
from tools.service import opening
from tools.service.answerers import ANSWERERS
from tools.service.opening import open_service, read_token
from tools.service.schema import Models, Prediction
from tools.service.server import Service

TOKEN = "a-token-of-this-test"
JSON = "application/json"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return make_models(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def service(models: list[Path]) -> Iterator[Service]:
    config = Serve(models=tuple(models), port=0, limits=LIMITS, common=Common(device="cpu"))
    served, _ = open_service(config)
    with serving(served):
        yield served


def send(service: Service, kind: str, body: bytes, query: str = "") -> tuple[int, Any]:
    found = request(service, "POST", f"/v1/predict?{query}", body, Content_Type=kind)
    return found[0], json.loads(found[2])


def fetch(service: Service, path: str) -> Any:
    status, _, content = request(service, "GET", path)
    assert status == 200
    return json.loads(content)


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_all_three_forms_answer_as_the_library(
    service: Service, models: list[Path], task: str
) -> None:
    image, name = photo(kind="PNG"), str(models[TASKS.index(task)])
    wanted = load(name, device="cpu")(image).to_dict()
    coded = base64.b64encode(image).decode()
    form, form_type = form_of(("model", name.encode()), ("draw", b"false"), ("image", image))
    for status, reply in (
        send(service, "image/png", image, f"model={name}"),
        send(service, BINARY, image, f"model={TASKS.index(task)}"),
        send(service, form_type, form),
        send(service, JSON, json.dumps({"image": coded, "model": name}).encode()),
        send(service, JSON, json.dumps({"image": [coded], "model": name, "draw": False}).encode()),
    ):
        assert status == 200, reply
        assert reply["model"] == name
        assert reply["application"] == task
        assert "shown" not in reply  # Drawn only on request.
        assert json.dumps(reply["answers"]) == json.dumps([wanted])


@pytest.mark.parametrize(
    ("kind", "body", "word"),
    [
        (JSON, b"{", "JSON"),
        (JSON, b"[" * 100_000, "JSON"),
        (JSON, b"[1]", "object"),
        (JSON, b"{}", "image is missing"),
        (JSON, b'{"image": "a b"}', "base64"),
        (JSON, b'{"image": 7}', "base64"),
        (JSON, b'{"image": [' + b"{}," * 99 + b"{}]}", "too many parts"),
        (JSON, b'{"image": ["", "", ""]}', "at most 2 images"),
        (JSON, b'{"image": "YQ==", "draw": "maybe"}', "true or false"),
        (JSON, b'{"image": ["YQ==", "YQ==", "YQ=="]}', "at most 2"),
        ("multipart/form-data", b"", "form"),
        ("multipart/form-data; boundary=" + "x" * 300, b"--x", "form"),
        ("multipart/form-data; boundary=x", b"--x\r\n", "whole"),
        ("multipart/form-data; boundary=x", b"no form at all", "form"),
        ("multipart/form-data; boundary=x", b"--x\r\nA: b\r\n\r\nc\r\n--x--", "image is missing"),
        ("multipart/form-data; boundary=x", b"--x\r\nA:" + b"b" * 9999 + b"\r\n\r\n", ""),
        ("multipart/form-data; boundary=x", b"--x\r\nA: b\r\n\r\n\r\n" * 99, "parts"),
    ],
)
def test_what_cannot_be_read_is_refused(kind: str, body: bytes, word: str) -> None:
    with serving(simple(lambda *_: {})) as plain:
        status, reply = send(plain, kind, body)
    assert status == 400, reply
    assert word in reply["error"]


def test_other_bodies_are_named() -> None:
    with serving(simple(lambda *_: {})) as plain:
        status, reply = send(plain, "application/x-www-form-urlencoded", b"a=b")
        assert status == 415
        assert "image/jpeg" in reply["error"]


@pytest.mark.slow
def test_the_description_is_complete(service: Service) -> None:
    """Every address, body, status and answer; real answers are as it says."""
    document = fetch(service, "/openapi.json")
    OpenAPI.model_validate(document)
    assert set(document["paths"]) == {"/v1/predict", "/v1/models", "/healthz", "/metrics"}
    post = document["paths"]["/v1/predict"]["post"]
    forms = set(post["requestBody"]["content"])
    assert {"multipart/form-data", JSON, BINARY, "image/jpeg"} <= forms
    assert {one["name"] for one in post["parameters"]} == {"model", "draw"}
    assert {"200", "400", "401", "403", "408", "411", "413", "415", "422", "503"} <= set(
        post["responses"]
    )
    Models.model_validate_json(request(service, "GET", "/v1/models")[2])
    schema = post["responses"]["200"]["content"][JSON]["schema"]
    components = {"components": document["components"]}
    parts = document["components"]["schemas"]
    for number, task in enumerate(TASKS):
        images = [photo()] * (1 + (task == "face_embedding"))
        _, reply = ask(service, f"model={number}&draw=true", *images)
        Prediction.model_validate(reply)
        assert fault_in(reply, {**schema, **components}) == ""
        for answer in reply["answers"]:
            assert fault_in(answer, {**parts[task], **components}) == ""
            assert fault_in({**answer, "more": 1}, {**parts[task], **components})
    _, refused = ask(service, "model=99", photo())
    schema = post["responses"]["400"]["content"][JSON]["schema"]
    assert fault_in(refused, {**schema, **components}) == ""


@pytest.mark.slow
def test_health_and_counters(models: list[Path]) -> None:
    config = Serve(models=(models[0],), port=0, limits=LIMITS, common=Common(device="cpu"))
    served, _ = open_service(config)
    with serving(served):
        assert fetch(served, "/healthz") == {"status": "ok", "models": 1}
        assert ask(served, "", photo())[0] == 200
        assert ask(served, "", b"text")[0] == 415
        assert request(served, "GET", "/a/b")[0] == 404
        assert b" 400 " in raw(served, b"nonsense\r\n\r\n")
        status, headers, content = request(served, "GET", "/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain")
    rows = dict(
        line.rsplit(" ", 1) for line in content.decode().splitlines() if not line.startswith("#")
    )
    assert rows['mobilenets_requests_total{path="/v1/predict",status="200"}'] == "1.0"
    assert rows['mobilenets_requests_total{path="/v1/predict",status="415"}'] == "1.0"
    assert rows['mobilenets_requests_total{path="other",status="404"}'] == "1.0"
    assert rows['mobilenets_requests_total{path="connection",status="400"}'] == "1.0"
    assert rows['mobilenets_request_seconds_count{path="/v1/predict"}'] == "2.0"
    assert rows["mobilenets_batch_images_sum"] == "1.0"
    assert rows["mobilenets_connections"] == "1.0"
    assert rows["mobilenets_requests_in_progress"] == "0.0"


def test_a_token_is_asked_for() -> None:
    with serving(simple(lambda *_: {}, token=TOKEN)) as closed:
        for path in ("/", "/healthz", "/openapi.json"):
            assert request(closed, "GET", path)[0] == 200
        document = fetch(closed, "/openapi.json")
        assert document["paths"]["/v1/predict"]["post"]["security"]
        for given, wanted in (
            (f"Bearer {TOKEN}", 200),
            (f"bearer {TOKEN}", 200),
            (f"Bearer {TOKEN}x", 401),
            (f"Bearer {TOKEN[:-1]}", 401),
            (f"Basic {TOKEN}", 401),
            ("Bearer", 401),
            ("Bearer \xe9", 401),
            ("", 401),
        ):
            named = {"Authorization": given} if given else {}
            for path in ("/v1/models", "/metrics"):
                status, headers, _ = request(closed, "GET", path, **named)
                assert status == wanted, given
                assert (headers["WWW-Authenticate"] == "Bearer") == (wanted == 401)
            named |= {"Content_Type": BINARY}
            assert request(closed, "POST", "/v1/predict", b"x", **named)[0] == wanted


def test_tokens_come_from_a_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    monkeypatch.delenv(opening.TOKEN_VARIABLE, raising=False)
    assert read_token(Serve()) is None
    assert read_token(Serve(token_file=file)) == TOKEN
    monkeypatch.setenv(opening.TOKEN_VARIABLE, "another-token-from-the-shell")
    assert read_token(Serve()) == "another-token-from-the-shell"
    assert read_token(Serve(token_file=file)) == TOKEN
    for bad in ("", "short", "with a space in the middle", "\N{SNOWMAN}" * 20):
        file.write_text(bad)
        with pytest.raises(InputError, match=r"token: a token has 16 or more"):
            read_token(Serve(token_file=file))
    monkeypatch.setenv(opening.TOKEN_VARIABLE, "")
    with pytest.raises(InputError, match=opening.TOKEN_VARIABLE):
        read_token(Serve())
    with pytest.raises(InputError, match="no such file"):
        read_token(Serve(token_file=tmp_path / "none"))


def test_a_connection_carries_many_requests() -> None:
    with serving(simple(lambda _, images: {"size": len(images[0])})) as plain:
        connection = http.client.HTTPConnection("127.0.0.1", plain.server_address[1], timeout=600)
        for size in (1, 300_000, 5):
            connection.request(
                "POST", "/v1/predict", bytes(size), {"Content-Type": BINARY, "Host": "localhost"}
            )
            assert json.loads(connection.getresponse().read()) == {"size": size}
        connection.close()


def test_who_compares_images_has_an_answerer() -> None:
    answering = [one for one in APPLICATIONS if isinstance(one, PhotoApplication)]
    assert {one.name for one in answering if one.compares} == set(ANSWERERS)
    assert all(one.schema["required"] for one in answering)


@pytest.mark.slow
def test_exports_are_served_without_torch(exports: Exports) -> None:
    """Of every application, with nothing installed but the extras runtime and serve."""
    code = (
        "import sys, threading\n"
        "absent = ('torch', 'torchvision', 'matplotlib', 'scipy', 'tqdm', 'safetensors',\n"
        "          'lightning', 'onnx', 'httpx', 'yaml')\n"
        "for name in absent: sys.modules[name] = None\n"
        "from pathlib import Path\n"
        "from configs.serve import Serve\n"
        "from tests.tools import served_alone\n"
        "served_alone.ask_all(tuple(map(Path, sys.argv[1:])))\n"
        "assert not any(sys.modules[name] for name in absent)\n"
    )
    files = [exports.file(kind) for kind in ("classifier", "ssd", "places", "attributes", "faces")]
    done = subprocess.run(
        [sys.executable, "-c", code, *files],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["200"] * 2 * len(files)


def test_without_the_extra_the_tool_names_it(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in sys.modules if one.startswith(("tools.service", "uvicorn"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    status, _, err = tool("serve")
    assert status == 2
    assert "pip install 'mobilenet-suite[serve]'" in err
