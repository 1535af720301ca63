"""Incidents of ``imondrian stream``: which lines are shown, commands and webhooks that are called, and what fails."""

import http.server
import json
import os
import sys
import threading
import time
from datetime import UTC, datetime
from functools import partial

import pytest

pytest.importorskip("river", reason="needs river")
pytest.importorskip("click", reason="needs click")
pytest.importorskip("orjson", reason="needs orjson")

from stream_commands import ended, json_lines, run, start, values

from imondrian._cli import Failure
from imondrian._cli.stream.callouts import Callouts
from imondrian._cli.stream.records import Selection
from imondrian._conformal.incidents import Incidents

N = 900
WRITE = "import sys; open(sys.argv[1], 'a').write(sys.stdin.read())"


@pytest.fixture(scope="module")
def X():
    return values(N)


@pytest.fixture(scope="module")
def whole(X, tmp_path_factory):
    found = run(tmp_path_factory.mktemp("whole"), json_lines(X), rate=0.02)[1]
    assert (
        sum(each["alarm"] for each in found)
        > sum(each.get("incident", {}).get("state") == "open" for each in found)
        > 3
    )
    return found


def changed(lines):
    """What is to be told of incidents that open or close."""
    return [
        {"record": each["record"], "incident": incident}
        for each in lines
        for incident in [each.get("incident"), *each.get("also_closed", [])]
        if incident is not None and incident["state"] != "ongoing"
    ]


@pytest.mark.parametrize("chunk", [None, 333])
def test_lines_may_be_those_of_alarms_or_incidents_alone(tmp_path, X, whole, chunk):
    code, alarms = run(tmp_path, json_lines(X), chunk, rate=0.02, shown="alarms")
    assert code == 0 and alarms == [each for each in whole if each["alarm"]]
    code, incidents = run(tmp_path, json_lines(X), chunk, rate=0.02, shown="incidents")
    assert code == 0 and incidents == [
        each for each in whole if each["record"] in {event["record"] for event in changed(whole)}
    ]
    assert {each["incident"]["state"] for each in incidents} == {"open", "closed"}


def test_fewer_lines_have_their_own_keys_kept_fields_and_reasons(tmp_path, X):
    data = json_lines(X, id=[[i] for i in range(N)], sensor=["ab"[i % 2] for i in range(N)])
    settings = {"rate": 0.05, "reasons": 2, "selection": Selection(key="sensor", keep=("id",))}
    _, every = run(tmp_path, data, **settings)
    _, some = run(tmp_path, data, shown="incidents", **settings)
    assert some == [each for each in every if each.get("incident", {"state": "ongoing"})["state"] != "ongoing"]
    assert all(each["id"] == [each["record"] - 1] and each["incident"]["key"] == each["sensor"] for each in some)


@pytest.mark.parametrize("settings", [{}, {"shown": "alarms"}, {"shown": "incidents"}, {"gap": 7}], ids=str)
def test_cut_anywhere_and_resumed_incidents_are_the_same(tmp_path, X, settings):
    model, found = tmp_path / "model", []
    expected = run(tmp_path, json_lines(X), rate=0.02, reasons=1, **settings)[1]
    for begin, end in ((0, 250), (250, 251), (251, 600), (600, N)):
        found += run(tmp_path, json_lines(X[begin:end]), model=model, rate=0.02, reasons=1, **settings)[1]
        settings.pop("gap", None)  # that of the checkpoint goes on
    assert found == expected


def test_for_too_many_keys_incidents_are_closed_and_told(tmp_path, monkeypatch):
    monkeypatch.setattr("imondrian._cli.stream.stream.Incidents", partial(Incidents, most_open=2))
    X, keys = values(900), [f"k{i % 4}" for i in range(900)]
    _, found = run(tmp_path, json_lines(X, key=keys), rate=0.1, selection=Selection(key="key"))
    events, is_open = changed(found), set()
    for event in events:
        (is_open.add if event["incident"]["state"] == "open" else is_open.remove)(event["incident"]["key"])
        assert len(is_open) <= 3  # at the line that closes one for another there are both
    assert any("also_closed" in each for each in found)


# -- calls -------------------------------------------------------------------------------------------------


def test_a_command_is_told_of_each_that_opens_and_closes(tmp_path, X, whole):
    calls = tmp_path / "calls with blanks; $(touch x)"
    code, found = run(
        tmp_path,
        json_lines(X),
        rate=0.02,
        on_incident=(sys.executable, "-c", WRITE, str(calls)),
        summary=tmp_path / "summary",
        call_timeout_s=60.0,
    )
    assert code == 0 and found == whole
    assert [json.loads(line) for line in calls.read_text().splitlines()] == changed(whole)
    summary = json.loads((tmp_path / "summary").read_text())
    assert (summary["calls"], summary["failed_calls"]) == (len(changed(whole)), 0)
    assert summary["incidents"] == max(each["incident"]["id"] for each in whole if "incident" in each)


class Server(http.server.ThreadingHTTPServer):
    """A webhook that answers with ``status``, or never (None), or a byte at a time ("slowly")."""

    daemon_threads = True

    def __init__(self, status):
        self.status, self.bodies, self.over = status, [], threading.Event()
        super().__init__(("127.0.0.1", 0), Hook)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/hook?a=1"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies.append((self.path, self.headers["Content-Type"], json.loads(body)))
        if self.server.status is None:
            self.server.over.wait(60)
        elif self.server.status == "slowly":
            while not self.server.over.wait(0.02):
                try:
                    self.wfile.write(b"H")
                except OSError:
                    return
        else:
            self.send_response(self.server.status)
            self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def server(request):
    with Server(request.param) as server:
        yield server
        server.over.set()
        server.shutdown()


@pytest.mark.parametrize("server", [204], indirect=True)
def test_a_webhook_is_told_the_same(tmp_path, X, whole, server):
    code, _ = run(tmp_path, json_lines(X), rate=0.02, webhook=server.url, call_timeout_s=60.0)
    assert code == 0
    assert server.bodies == [("/hook?a=1", "application/json", event) for event in changed(whole)]


@pytest.mark.parametrize(
    ("server", "what"),
    [(500, "status 500"), (302, "status 302"), (None, "took longer than 0.2 s"), ("slowly", "took longer than 0.2 s")],
    indirect=["server"],
)
def test_webhooks_that_fail_are_counted_and_block_nothing(server, what):
    calls = Callouts(url=server.url, timeout_s=0.2)
    calls.tell({"record": 1})
    while not calls.failures:
        time.sleep(0.01)
    calls.close()
    assert (calls.count, calls.failures) == (1, 1) and calls.first_failure == f"{server.url}: {what}"


def test_places_where_nobody_answers():
    for url in ("http://127.0.0.1:1/x", "http://[::1]:1/", "http://name.invalid/"):
        calls = Callouts(url=url, timeout_s=30.0)
        calls.tell({"record": 1})
        calls.close()
        assert calls.failures == 1 and calls.first_failure.startswith(url)


@pytest.mark.parametrize(
    ("command", "what"),
    [
        ((sys.executable, "-c", "raise SystemExit(3)"), "exit code 3"),
        (("/no/such/program",), "No such file"),
        (("/",), "Permission denied"),
        ((sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"), "exit code -9"),
    ],
)
def test_commands_that_fail(command, what):
    calls = Callouts(command, timeout_s=60.0)
    for i in range(3):
        calls.tell({"record": i})
    calls.close()
    assert (calls.count, calls.failures) == (3, 3)
    assert calls.first_failure.startswith(command[0]) and what in calls.first_failure


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX process groups")
def test_a_command_that_hangs_is_ended_with_all_that_it_started(tmp_path):
    pid = tmp_path / "pid"
    code = (
        "import subprocess, sys; p = subprocess.Popen(['sleep', '600']); open(sys.argv[1], 'w').write(str(p.pid)); "
        "p.wait()"
    )
    calls = Callouts((sys.executable, "-c", code, str(pid)), timeout_s=3.0)
    calls.tell({"record": 1})
    while not calls.failures:
        time.sleep(0.01)
    assert "took longer than 3 s" in calls.first_failure
    while is_running(int(pid.read_text())):
        time.sleep(0.01)
    calls.close()


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_at_the_end_what_is_left_has_failed_and_nothing_is_left_running():
    calls = Callouts((sys.executable, "-c", "import time; time.sleep(600)"), timeout_s=0.3)
    for i in range(2000):
        calls.tell({"record": i})  # returns at once
    dropped = calls.failures
    assert 900 < dropped <= 1000
    calls.close()
    assert calls.failures == calls.count == 2000 and calls.first_failure == "1,000 events were waiting"
    calls.close()
    assert calls.failures == 2000


def test_of_a_command_and_a_webhook_each_is_called():
    calls = Callouts((sys.executable, "-c", "raise SystemExit(1)"), "http://127.0.0.1:1/", timeout_s=60.0)
    calls.tell({"record": 1})
    calls.close()
    assert (calls.count, calls.failures) == (2, 2)


def test_the_whole_command(tmp_path, X, whole):
    process = start(
        "--alarm-rate",
        "0.02",
        "--incidents-only",
        "--on-incident",
        f"'{sys.executable}' -c 'raise SystemExit(1)'",
        "--call-timeout",
        "60",
    )
    code, out, told = ended(process, json_lines(X))
    n = len(changed(whole))
    assert code == 0 and changed(out) == changed(whole)
    assert f"{n} of {n} calls for incidents failed, the first: {sys.executable}: exit code 1" in told


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--on-incident", "no-such-program-anywhere x"), "there is no program 'no-such-program-anywhere'"),
        (("--on-incident", "sh 'x"), "No closing quotation"),
        (("--on-incident", " "), "there is no program"),
        (("--webhook", "ftp://x"), "must be an http or https address"),
        (("--webhook", "http://"), "must be an http"),
        (("--webhook", "http://a:b"), "must be an http"),
        (("--webhook", "http://u:p@a/"), "must be an http"),
        (("--incident-gap", "0"), "--incident-gap"),
        (("--call-timeout", "0"), "--call-timeout"),
        (("--call-timeout", "nan"), "--call-timeout"),
        (("--keep", "incident"), "the output has a field of that name"),
    ],
)
def test_command_lines_that_are_refused(options, message):
    code, out, told = ended(start(*options), b"")
    assert code == 2 and not out and message in told


# -- by time -----------------------------------------------------------------------------------------------


def stamps(n, kind):
    """Times half a minute apart, with an hour's silence after every 300th; some come late."""
    times = [1_700_000_000 + 30 * i + 3600 * (i // 300) - (100 if i % 7 == 3 else 0) for i in range(n)]
    if kind == "seconds":
        return times
    return [
        datetime.fromtimestamp(time, UTC).isoformat().replace("+00:00", "Z" if i % 2 else "")
        for i, time in enumerate(times)
    ]


@pytest.mark.parametrize("kind", ["seconds", "iso"])
@pytest.mark.parametrize("cut", [None, 450])
def test_incidents_by_time(tmp_path, X, whole, kind, cut):
    data, gap = json_lines(X, ts=stamps(N, kind)).splitlines(keepends=True), 900.0
    found = []
    for part in [data] if cut is None else [data[:cut], data[cut:]]:
        found += run(
            tmp_path,
            b"".join(part),
            model=tmp_path / "model",
            rate=0.02,
            gap=gap if not found else None,
            selection=Selection(time="ts"),
        )[1]
    now, last, expected = 0, None, []
    for each, stamp in zip(whole, stamps(N, "seconds"), strict=True):
        now = max(now, stamp)
        is_over = last is not None and now - last[1] >= gap
        states = (["ongoing" if last is not None and not is_over else "open"] if each["alarm"] else []) + (
            ["closed"] if is_over else []
        )
        expected.append(states)
        if each["alarm"]:
            last = (now if states[0] == "open" else last[0], now)
        elif is_over:
            last = None
    assert [
        [each["state"] for each in (line.get("incident"), *line.get("also_closed", [])) if each] for line in found
    ] == expected
    assert [(line["score"], line["alarm"]) for line in found] == [(line["score"], line["alarm"]) for line in whole]
    assert all("ts" not in line for line in found) and any("also_closed" in line for line in found) == any(
        len(states) > 1 for states in expected
    )
    with pytest.raises(Failure, match="--time"):
        run(tmp_path, data[0], model=tmp_path / "model")


@pytest.mark.parametrize("lines", ["json", "csv"])
def test_records_without_a_time_are_bad_lines(tmp_path, X, lines, capsys):
    times = [str(i) for i in range(60)]
    times[20:25] = ["yesterday", "nan", "1e999", "", "2024-13-01"]
    if lines == "json":
        data = json_lines(X[:60], ts=times)
    else:
        data = (
            b"a,b,c,ts\n"
            + "".join(
                ",".join(map(repr, row)) + f",{time}\n" for row, time in zip(X[:60].tolist(), times, strict=True)
            ).encode()
        )
    code, found = run(tmp_path, data, selection=Selection(time="ts", keep=("ts",)))
    assert code == 3 and [each["ts"] for each in found] == times[:20] + times[25:]
    told = capsys.readouterr().err
    assert told.count("the time field 'ts' must be a number of seconds or a time by ISO 8601") == 5
    assert f"line {21 + (lines == 'csv')}: the time field" in told
    if lines == "json":
        data = json_lines(X[:5]) + json_lines(X[:5], ts=[None, True, [], 5, 6.5])
        run(tmp_path, data, selection=Selection(time="ts"))
        told = capsys.readouterr().err
        assert told.count("lacks the time field 'ts'") == 6 and told.count("must be a number of seconds") == 2


def test_a_time_is_no_feature_with_keys_too(tmp_path, X):
    data = json_lines(X, ts=stamps(N, "iso"), sensor=["ab"[i % 2] for i in range(N)])
    selection = Selection(key="sensor", time="ts")
    _, found = run(tmp_path, data, rate=0.05, selection=selection, gap=7200.0, reasons=9)
    plain = run(
        tmp_path, json_lines(X, sensor=["ab"[i % 2] for i in range(N)]), rate=0.05, selection=Selection(key="sensor")
    )[1]
    assert [each["score"] for each in found] == [each["score"] for each in plain]
    assert all(part["feature"] in "abc" for each in found for part in each.get("reasons", []))
    assert all(each["incident"]["seconds"] >= 0 for each in found if "incident" in each)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--incident-gap", "2h"), "needs --time"),
        (("--incident-gap", "2 h", "--time", "t"), "must be a number of records"),
        (("--incident-gap", "0h", "--time", "t"), "must be a number of records"),
        (("--incident-gap", "-5"), "must be a number of records"),
        (("--incident-gap", "9" * 400), "must be a number"),
        (("--time", "t", "--key", "t"), "is also the --key"),
        (("--time", "t", "--columns", "t"), "is also among --columns"),
    ],
)
def test_times_that_are_refused(options, message):
    code, out, told = ended(start(*options), b"")
    assert code == 2 and not out and message in told


def test_a_gap_as_an_age_on_the_command_line(X):
    data = json_lines(X, ts=stamps(N, "iso"))
    process = start("--time", "ts", "--incident-gap", "0.5h", "--alarm-rate", "0.02", "--alarms-only")
    code, out, told = ended(process, data)
    assert code == 0 and told == "" and all(each["incident"]["seconds"] >= 0 for each in out) and out
