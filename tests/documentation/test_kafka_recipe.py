"""The recipe for Kafka, against librdkafka's own broker in memory."""

import importlib.util
import json
import random

import pytest
from doc_pages import ROOT

N = 1000


@pytest.fixture
def kafka():
    return pytest.importorskip("confluent_kafka", reason="needs confluent-kafka")


@pytest.mark.slow
def test_alarms_reach_their_topic_and_the_model_is_saved_with_the_offsets(kafka, tmp_path, monkeypatch):
    pytest.importorskip("river", reason="needs river")
    monkeypatch.chdir(tmp_path)
    spec = importlib.util.spec_from_file_location("kafka_alarms", ROOT / "docs" / "guide" / "kafka_alarms.py")
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    learnt = []

    class Counting(recipe.AlarmFilter):
        def learn_one(self, *args, **options):
            learnt.append(args[0])
            super().learn_one(*args, **options)

    monkeypatch.setattr(recipe, "AlarmFilter", Counting)
    broker = kafka.Producer({"test.mock.num.brokers": 1, "log_level": 0})
    found = next(iter(broker.list_topics(timeout=10).brokers.values()))
    servers = f"{found.host}:{found.port}"
    rng = random.Random(0)
    for i in range(N):
        heat = 15.0 if i == 900 else rng.gauss(0, 1)
        broker.produce("sensors", json.dumps({"heat": heat, "load": rng.gauss(0, 1), "name": f"n{i}"}), partition=0)
    broker.flush()
    recipe.run(servers, "sensors", "alarms", lambda: len(learnt) >= N)
    assert len(learnt) == N and set(learnt[0]) == {"heat", "load"}

    options = {"bootstrap.servers": servers, "auto.offset.reset": "earliest", "log_level": 0}
    reader = kafka.Consumer({**options, "group.id": "reader"})
    reader.subscribe(["alarms"])
    alarms = []
    while not any(alarm["name"] == "n900" for alarm in alarms):
        message = reader.poll(20)
        assert message is not None, "the planted record raised no alarm"
        if not message.error():
            alarms.append(json.loads(message.value()))
    assert next(iter(alarms[-1]["reasons"])) == "heat"
    group = kafka.Consumer({**options, "group.id": "imondrian"})
    (committed,) = group.committed([kafka.TopicPartition("sensors", 0)], timeout=10)
    assert committed.offset == N
    assert recipe.OnlineIsolationMondrianForest.load(tmp_path / "sensors.imf").score_one(learnt[0]) > 0
    for consumer in (reader, group):
        consumer.close()
