"""Predict after the main thread has ended, after a fork, and without standard streams."""

import os
import subprocess
import sys

import pytest

PREDICT = """
import atexit, os, signal, sys, threading, time
import numpy as np
import emonet

photo = emonet.sample_photo()
faces = np.zeros((3, 48, 48), np.uint8)
"""


def run(
    code: str, *arguments: str, closed: str = "", check: bool = True, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, with the standard streams that are given closed."""
    command = [sys.executable, *(["-c", code] if code else []), *arguments]
    if closed:
        command = ["sh", "-c", f'exec "$@" {closed}', "sh", *command]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "COLUMNS": "200", **environment},
    )
    if check:
        assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize(
    "start",
    [
        "threading.Thread(target=work).start()",
        "threading.Timer(1, work).start()",
        "atexit.register(work)",
    ],
    ids=["thread", "timer", "atexit"],
)
def test_predict_works_after_the_main_thread_has_ended(start: str) -> None:
    code = f"""{PREDICT}
recognizer = emonet.EmotionRecognizer.from_pretrained("tiny")

def work():
    threading.main_thread().join()
    time.sleep(0.5)
    print(recognizer.predict(photo).faces[0].label)
    print(*(result.faces[0].label for result in recognizer.predict([photo] * 5)))
    print(*(len(result.faces) for result in recognizer.stream(iter([photo] * 3), ahead=0)))

{start}
"""
    if "atexit" in start:
        code = code.replace("threading.main_thread().join()", "pass")
    done = run(code)
    assert done.stdout.splitlines() == ["happiness", " ".join(["happiness"] * 5), "1 1 1"]
    assert done.stderr == ""


FORK = f"""{PREDICT}
runtime = sys.argv[1]
recognizer = emonet.EmotionRecognizer.from_pretrained("tiny", runtime=runtime)
copy = recognizer.with_test_time_augmentation("horizontal_flip")
before = recognizer.predict_proba(faces)
recognizer.predict([photo] * 3)
copy.predict(photo)


def fork(in_child):
    \"\"\"Return the exit status of a child, None if it does not end by itself.\"\"\"
    pid = os.fork()
    if pid == 0:
        try:
            in_child()
        except emonet.EmonetError as error:
            print(type(error).__name__, error, flush=True)
            sys.exit(3)
        sys.exit(0)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def predict():
    np.testing.assert_array_equal(recognizer.predict_proba(faces), before)
    assert recognizer.predict(photo).faces[0].label == "happiness"
    assert [len(result.faces) for result in copy.predict([photo] * 3)] == [1] * 3
"""

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


@needs_fork
def test_children_of_a_process_that_has_predicted_answer_and_end() -> None:
    code = f"""{FORK}
print(fork(lambda: None))
print(fork(predict))
print(fork(lambda: print(fork(predict), flush=True)))  # a grandchild

# A thread holds what others wait for while this one forks.
from emonet.pipeline.decoding import FILES, IMAGES
held, done = threading.Event(), threading.Event()
def hold():
    with recognizer._sessions._lock, FILES.reserve(FILES.total), IMAGES.reserve(IMAGES.total):
        held.set()
        done.wait()
holder = threading.Thread(target=hold)
holder.start()
held.wait()
print(fork(predict))
done.set()
holder.join()
predict()
"""
    assert run(code, "onnxruntime").stdout.split() == ["0"] * 5


@needs_fork
def test_keras_refuses_to_run_in_a_forked_child() -> None:
    code = f"""{FORK}
print(fork(lambda: None))
print(fork(predict))
def load_another():
    emonet.EmotionRecognizer.from_pretrained("tiny", runtime="keras").predict_proba(faces)
print(fork(load_another))
predict()
"""
    lines = run(code, "keras").stdout.splitlines()
    assert [line for line in lines if len(line) == 1] == ["0", "3", "3"]
    errors = [line for line in lines if len(line) > 1]
    assert len(errors) == 2
    for error in errors:
        assert error.startswith("ConfigError Keras can't run in a process that was forked")


@needs_fork
def test_a_child_forked_before_the_first_prediction_may_use_keras() -> None:
    code = f"""{PREDICT}
recognizer = emonet.EmotionRecognizer.from_pretrained("tiny", runtime="keras")
pid = os.fork()
print(recognizer.predict_proba(faces).shape, flush=True)
if pid:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    assert run(code).stdout.splitlines() == ["(3, 7)"] * 2


SAMPLE = ("-m", "emonet", "predict", "--sample", "--model", "tiny")
needs_sh = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")


@needs_sh
@pytest.mark.parametrize("options", [(), ("--runtime", "keras")], ids=" ".join)
def test_without_standard_error_the_command_prints_its_table(options: tuple[str, ...]) -> None:
    assert "happiness" in run("", *SAMPLE, *options, closed="2>&-").stdout


@needs_sh
def test_without_standard_error_a_message_does_not_go_to_standard_output() -> None:
    done = run("", *SAMPLE[:-1], "missing", closed="2>&-", check=False)
    assert (done.returncode, done.stdout) == (2, "")


@needs_sh
def test_without_standard_output_the_command_succeeds() -> None:
    assert run("", *SAMPLE, closed="<&- >&-").stderr == ""


@needs_sh
def test_no_file_takes_the_place_of_a_closed_stream() -> None:
    code = """
import os, sys
from emonet.cli import main
sys.argv = ["emonet", "--version"]
try:
    main()
finally:
    null = os.stat(os.devnull)
    print([os.path.samestat(os.fstat(number), null) for number in (0, 2)])
"""
    assert run(code, closed="<&- 2>&-").stdout.splitlines()[1:] == ["[True, True]"]


def test_training_and_commands_need_no_standard_error() -> None:
    code = """
import sys
import numpy as np

class OnlyWrites:
    def write(self, text):
        return len(text)

    def flush(self):
        pass

sys.stderr = None
import emonet
from emonet.cli import main
from emonet.labels import FER2013

images = np.random.default_rng(0).integers(0, 256, (28, 48, 48), np.uint8)
faces = emonet.FaceDataset(images, np.arange(28) % 7, FER2013)
for sys.stderr in (None, OnlyWrites()):
    recognizer = emonet.EmotionRecognizer("resnet18", backbone_config={"width": 4})
    recognizer.fit(faces, faces, epochs=1)
sys.argv = ["emonet", "predict", "--sample", "--model", "tiny", "--runtime", "keras"]
main()
"""
    assert "happiness" in run(code).stdout
