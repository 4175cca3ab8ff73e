"""The endpoints of the HTTP service, its limits and its errors."""

import asyncio
import base64
import json
import re
import socket
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from PIL import Image
from tests.conftest import make_faces

from emonet import EmotionRecognizer
from emonet.errors import ConfigError, NotFittedError
from emonet.service import Limits, create_app
from emonet.service.batching import BATCH_ITEMS
from emonet.service.bodies import BodyReader
from emonet.service.problems import ProblemError

AS_JSON = {"Content-Type": "application/json"}
JPEG = {"Content-Type": "image/jpeg"}


@pytest.fixture(scope="module")
def recognizer():
    return EmotionRecognizer.from_pretrained("tiny")


@pytest.fixture(scope="module")
def client(recognizer):
    with TestClient(create_app(recognizer), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def photo(astronaut):
    return astronaut.read_bytes()


@pytest.fixture
def crops(tmp_path):
    files = []
    for number, face in enumerate(make_faces(1, seed=2).images):
        Image.fromarray(face).save(tmp_path / f"{number}.png")
        files.append((tmp_path / f"{number}.png").read_bytes())
    return files


def as_json(*images):
    return {"images": [base64.b64encode(image).decode() for image in images]}


def as_form(*images):
    return [("files", (f"{number}.jpg", image)) for number, image in enumerate(images)]


def assert_problem(answer, status, *parts):
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    found = answer.json()
    assert list(found) == ["type", "title", "status", "detail"]
    assert found["status"] == status
    for part in parts:
        assert part in found["detail"]


def close(found, expected):
    """Batches of other sizes may round otherwise."""
    assert found.keys() == expected.keys()
    assert found["faces"][0]["box"] == expected["faces"][0]["box"]
    for label, value in expected["faces"][0]["probabilities"].items():
        assert found["faces"][0]["probabilities"][label] == pytest.approx(value, abs=1e-3)


def test_bytes_of_an_image(client, recognizer, photo):
    answer = client.post("/v1/predict", content=photo, headers=JPEG)
    assert answer.status_code == 200
    (result,) = answer.json()["results"]
    close(result, recognizer.predict(photo).to_dict())


def test_a_form_with_files_of_which_one_is_broken(client, recognizer, photo):
    answer = client.post("/v1/predict", files=as_form(photo, b"broken", photo))
    assert answer.status_code == 200
    first, broken, last = answer.json()["results"]
    close(first, recognizer.predict(photo).to_dict())
    assert [result["path"] for result in (first, broken, last)] == ["0.jpg", "1.jpg", "2.jpg"]
    assert list(broken) == ["path", "error"]
    assert last["faces"][0]["label"] == "happiness"


def test_images_in_json(client, recognizer, photo):
    answer = client.post("/v1/predict", json=as_json(photo, photo))
    assert answer.status_code == 200
    for result in answer.json()["results"]:
        close(result, recognizer.predict(photo).to_dict())


def test_min_score_takes_labels_only(client, photo):
    answer = client.post("/v1/predict?min_score=1", content=photo, headers=JPEG)
    ((face,),) = [result["faces"] for result in answer.json()["results"]]
    assert face["label"] is None
    assert face["score"] == face["probabilities"]["happiness"]
    for wrong in ("2", "x", "nan"):
        answer = client.post(f"/v1/predict?min_score={wrong}", content=photo, headers=JPEG)
        assert_problem(answer, 422, "min_score")


def test_given_boxes_need_no_detector(client, recognizer, photo):
    boxes = [(135, 76, 91, 91), (0, 0, 50.5, 60)]
    path = "/v1/predict?boxes=135,76,91,91&boxes=0,0,50.5,60"
    answer = client.post(path, json=as_json(photo, photo))
    assert answer.status_code == 200
    for result in answer.json()["results"]:
        assert len(result["faces"]) == 2
        close(result, recognizer.predict(photo, boxes=boxes).to_dict())
    for wrong in ("1,2,3", "1,2,3,x", "", "1,2,3,4,5", "0,0,0,0", "1,1,nan,1", "900,900,5,5"):
        answer = client.post(f"/v1/predict?boxes={wrong}", content=photo, headers=JPEG)
        assert_problem(answer, 422, "box")


@pytest.mark.parametrize("prior", ["balanced", "training"])
def test_another_prior(client, recognizer, photo, prior):
    answer = client.post(f"/v1/predict?prior={prior}", content=photo, headers=JPEG)
    (result,) = answer.json()["results"]
    close(result, recognizer.with_prior(prior).predict(photo).to_dict())
    wrong = client.post("/v1/predict?prior=other", content=photo, headers=JPEG)
    assert_problem(wrong, 422, "prior")


def test_requests_that_differ_keep_to_themselves(client, recognizer, photo):
    queries = ["", "?prior=balanced", "?boxes=135,76,91,91", "?prior=balanced&boxes=0,0,50,50"]
    with ThreadPoolExecutor(8) as threads:
        answers = list(
            threads.map(
                lambda query: client.post(f"/v1/predict{query}", content=photo, headers=JPEG),
                queries * 2,
            )
        )
    balanced = recognizer.with_prior("balanced")
    expected = [
        recognizer.predict(photo),
        balanced.predict(photo),
        recognizer.predict(photo, boxes=[(135, 76, 91, 91)]),
        balanced.predict(photo, boxes=[(0, 0, 50, 50)]),
    ]
    for answer, result in zip(answers, expected * 2, strict=True):
        close(answer.json()["results"][0], result.to_dict())


@pytest.mark.parametrize("send", [as_json, as_form], ids=["json", "form"])
def test_face_crops(client, recognizer, crops, send):
    key = "json" if send is as_json else "files"
    answer = client.post("/v1/predict_proba", **{key: send(*crops)})
    assert answer.status_code == 200
    assert answer.json()["labels"] == list(recognizer.labels)
    expected = recognizer.predict_proba(crops)
    np.testing.assert_allclose(answer.json()["probabilities"], expected, atol=1e-3)


def test_a_broken_crop_is_named_and_harms_no_other_request(client, recognizer, crops):
    with ThreadPoolExecutor(4) as threads:
        answers = list(
            threads.map(
                lambda images: client.post("/v1/predict_proba", json=as_json(*images)),
                [crops, [crops[0], b"broken"], crops, [b"broken"]],
            )
        )
    assert [answer.status_code for answer in answers] == [200, 422, 200, 422]
    assert_problem(answers[1], 422, "Image 1")
    np.testing.assert_allclose(
        answers[2].json()["probabilities"], recognizer.predict_proba(crops), atol=1e-3
    )


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/predict_proba"])
@pytest.mark.parametrize(
    ("status", "request_", "part"),
    [
        (415, {"content": b"x", "headers": {"Content-Type": "text/html"}}, "image/jpeg"),
        (415, {"content": b"x"}, "content type"),
        (415, {"data": {"a": "b"}}, "content type"),
        (422, {"content": b"", "headers": JPEG}, "no image"),
        (422, {"content": b"secret picture", "headers": JPEG}, "image"),
        (422, {"content": b"{", "headers": AS_JSON}, "JSON"),
        (422, {"json": {"images": []}}, "no image"),
        (422, {"json": {"images": "x"}}, "images"),
        (422, {"json": {"images": [1]}}, "base64"),
        (422, {"json": {"images": ["secret picture"]}}, "base64"),
        (422, {"json": [[]]}, "object"),
        (422, {"json": as_json(*[b"x"] * 65)}, "64 images"),
        # Parsed, each of these values would take 600 bytes.
        (422, {"json": {"images": [0] * 10_000}}, "64 images"),
        (422, {"json": {"images": [], "other": [0] * 10_000}}, "64 images"),
        (422, {"content": b'{"images":' + b"[" * 100_000, "headers": AS_JSON}, "JSON"),
        (422, {"files": as_form(*[b"x"] * 65)}, "64"),
        (422, {"files": {f"field{i}": (None, "x") for i in range(1000)}}, "fields"),
        (422, {"files": {"field": ("a", b"x", "image/jpeg", {"Long": "x" * 10_000})}}, "form"),
        (422, {"files": {"field": (None, "secret picture")}}, "no image"),
        (422, {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, "boundary"),
        (
            422,
            {"content": b"x", "headers": {"Content-Type": "multipart/form-data; boundary=y"}},
            "multipart",
        ),
    ],
)
def test_what_can_not_be_used_is_a_problem(client, path, status, request_, part):
    answer = client.post(path, **request_)
    assert_problem(answer, status, part)
    assert "secret" not in answer.text


def test_other_paths_and_methods_are_problems(client):
    assert_problem(client.get("/v1/nothing"), 404)
    answer = client.get("/v1/predict")
    assert_problem(answer, 405)
    assert answer.headers["allow"] == "POST"


def test_no_url_is_fetched(client):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.5)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/photo.jpg"
        for request in (
            {"json": {"images": [url]}},
            {"json": {"images": [], "url": url}},
            {"files": {"file": (None, url)}},
            {"content": url.encode(), "headers": JPEG},
            {"files": {"file": (url, url.encode())}},
        ):
            assert_problem(client.post("/v1/predict", **request), 422)
        with pytest.raises(TimeoutError):
            listening.accept()


def test_a_body_over_the_limit(recognizer, photo):
    limits = Limits(max_body=len(photo) - 1)
    with TestClient(create_app(recognizer, limits=limits)) as client:
        assert_problem(client.post("/v1/predict", content=photo, headers=JPEG), 413, "bytes")
        chunked = client.post("/v1/predict", content=iter([photo[:9], photo[9:]]), headers=JPEG)
        assert "content-length" not in chunked.request.headers
        assert_problem(chunked, 413, "bytes")
        assert_problem(client.post("/v1/predict", files=as_form(photo)), 413)
        assert client.post("/v1/predict", content=photo[:-1], headers=JPEG).status_code != 413


def post(*chunks, done):
    """A request whose body ends when an event is set."""

    async def receive():
        if parts:
            return {"type": "http.request", "body": parts.pop(0), "more_body": True}
        await done.wait()
        return {"type": "http.request", "body": b"", "more_body": False}

    parts = list(chunks)
    headers = [(b"content-type", b"image/jpeg")]
    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


def test_bodies_together_take_bounded_memory():
    async def run():
        reader, done = BodyReader(Limits(max_body=60, max_memory=100)), asyncio.Event()
        deadline = asyncio.get_running_loop().time() + 60

        async def read(*chunks):
            async with reader.read(post(*chunks, done=done), deadline) as uploads:
                return [upload.data for upload in uploads]

        slow = asyncio.ensure_future(read(bytes(30), bytes(30)))
        await asyncio.sleep(0.01)
        with pytest.raises(ProblemError, match="too many requests") as refused:
            await read(bytes(41))
        assert refused.value.status == 503
        done.set()
        assert await read(bytes(40)) == [bytes(40)]
        assert await slow == [bytes(60)]
        # All of it is free again.
        assert await asyncio.gather(read(bytes(50)), read(bytes(50))) == [[bytes(50)]] * 2

    asyncio.run(run())


def test_a_body_that_comes_too_slowly():
    async def run():
        reader = BodyReader(Limits())
        deadline = asyncio.get_running_loop().time() + 0.05
        with pytest.raises(ProblemError, match="in time") as refused:
            async with reader.read(post(b"half", done=asyncio.Event()), deadline):
                raise AssertionError
        assert refused.value.status == 408
        assert refused.value.headers == {"Connection": "close"}

    asyncio.run(run())


@pytest.fixture
def held(recognizer, monkeypatch):
    """Let predictions of the service wait for an event."""
    go, stream = threading.Event(), recognizer.stream

    def waiting(images, **options):
        assert go.wait(100)
        return stream(images, **options)

    monkeypatch.setattr(recognizer, "stream", waiting)
    yield go
    go.set()


def test_a_full_queue_refuses_and_recovers(recognizer, crops, held):
    limits = Limits(max_images=BATCH_ITEMS, max_queued=BATCH_ITEMS, timeout=600)
    with TestClient(create_app(recognizer, limits=limits)) as client, ThreadPoolExecutor(9) as pool:

        def send(count):
            return client.post("/v1/predict", json=as_json(*[crops[0]] * count))

        def until(line):
            for _ in range(2000):
                if f"{line}\n" in client.get("/metrics").text:
                    return
                time.sleep(0.01)
            raise AssertionError(client.get("/metrics").text)

        taken = [pool.submit(send, BATCH_ITEMS)]
        until("emonet_batch_images_count 1.0")
        taken.append(pool.submit(send, 1))
        until("emonet_batch_images_count 2.0")
        taken.append(pool.submit(send, BATCH_ITEMS))
        until(f"emonet_queue_images {BATCH_ITEMS}.0")
        full = send(1)
        assert_problem(full, 503, "Too many images")
        assert full.headers["retry-after"] == "1"
        assert_problem(client.get("/readyz"), 503)
        assert client.get("/healthz").status_code == 200
        held.set()
        assert [answer.result().status_code for answer in taken] == [200] * 3
        assert client.get("/readyz").status_code == 200


def test_a_late_answer(recognizer, photo, held):
    with TestClient(create_app(recognizer, limits=Limits(timeout=0.5))) as client:
        answer = client.post("/v1/predict", content=photo, headers=JPEG)
        assert_problem(answer, 503, "no result in 0.5 s")
        assert answer.headers["retry-after"] == "1"
        held.set()


def test_a_failure_of_emonet_is_a_problem_without_details(recognizer, photo, monkeypatch):
    def failing(images, **options):
        raise RuntimeError("secret")

    app = create_app(recognizer)
    with TestClient(app, raise_server_exceptions=False) as client:
        monkeypatch.setattr("emonet.service.app._json", failing)
        answer = client.post("/v1/predict", content=photo, headers=JPEG)
        assert_problem(answer, 500)
        assert "secret" not in answer.text


def test_large_files_of_a_form_stay_in_memory(client, monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("a file on the disk")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    answer = client.post("/v1/predict", files=as_form(bytes(3 * 2**20)))
    assert_problem(answer, 422, "image")


def test_the_key(recognizer, photo):
    with TestClient(create_app(recognizer, api_key="s3cret/=")) as client:
        for headers in (
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": "Basic schl"},
            {"Authorization": "s3cret/="},
            {"Authorization": "Bearer s3cret/=x"},
            {"Authorization": "Bearer schlüssel".encode()},
        ):
            answer = client.post("/v1/predict", content=photo, headers={**JPEG, **headers})
            assert_problem(answer, 401, "Bearer")
            assert answer.headers["www-authenticate"] == "Bearer"
        key = {"Authorization": "Bearer s3cret/="}
        answer = client.post("/v1/predict", content=photo, headers={**JPEG, **key})
        assert answer.status_code == 200
        for path in ("/healthz", "/readyz", "/metrics", "/docs"):
            assert client.get(path).status_code == 200


def test_metrics(recognizer, photo):
    with TestClient(create_app(recognizer)) as client:
        client.post("/v1/predict", files=as_form(photo, photo, b"broken"))
        client.get("/stranger")
        text = client.get("/metrics").text
    for line in (
        'emonet_requests_total{endpoint="/v1/predict",status="200"} 1.0',
        'emonet_requests_total{endpoint="other",status="404"} 1.0',
        'emonet_request_seconds_count{endpoint="/v1/predict"} 1.0',
        'emonet_images_total{result="read"} 2.0',
        'emonet_images_total{result="failed"} 1.0',
        "emonet_faces_total 2.0",
        "emonet_batch_images_sum 3.0",
        "emonet_queue_images 0.0",
    ):
        assert f"{line}\n" in text
    assert "stranger" not in text


@pytest.mark.parametrize("prefix", ["", "/faces"])
def test_mounted_in_another_application(recognizer, photo, prefix):
    main = FastAPI(docs_url=None)
    app = create_app(recognizer)
    main.mount(prefix, app)
    client = TestClient(main)  # mounted, it gets no start-up
    answer = client.post(f"{prefix}/v1/predict", content=photo, headers=JPEG)
    assert answer.json()["results"][0]["faces"][0]["label"] == "happiness"
    page = client.get(f"{prefix}/docs").text
    linked = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(linked) == 3
    for path in linked:
        assert path.startswith(f"{prefix}/")
        assert client.get(path).status_code == 200
    assert f"{prefix}/openapi.json" in page
    assert '"validatorUrl": null' in page
    assert "https://" not in page


def test_the_description_names_every_status(client):
    paths = client.get("/openapi.json").json()["paths"]
    assert set(paths) == {"/healthz", "/readyz", "/metrics", "/v1/predict", "/v1/predict_proba"}
    for path in ("/v1/predict", "/v1/predict_proba"):
        assert set(paths[path]["post"]["responses"]) == {"200", "408", "413", "415", "422", "503"}
    (example,) = client.get("/openapi.json").json()["components"]["schemas"]["Predictions"][
        "examples"
    ]
    assert json.dumps(example)


def test_what_can_not_be_served_is_refused(recognizer):
    for key in ("", "two words", "schlüssel"):
        with pytest.raises(ConfigError, match=r"The API key .* must be"):
            create_app(recognizer, api_key=key)
    with pytest.raises(NotFittedError):
        create_app(EmotionRecognizer())
    for wrong in ({"max_body": 0}, {"timeout": 0}, {"max_images": 2, "max_queued": 1}):
        with pytest.raises(ConfigError, match="limits: "):
            Limits(**wrong)
