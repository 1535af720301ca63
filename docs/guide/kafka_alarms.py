"""Read records from Kafka, and write an alarm with its reasons for what is unusual.

python kafka_alarms.py localhost:9092 sensors alarms
"""

import json
import sys
from pathlib import Path

from confluent_kafka import Consumer, Producer

from imondrian.river import AlarmFilter, OnlineIsolationMondrianForest

MODEL = Path("sensors.imf")
EVERY = 1_000  # records between two saves


def run(servers, topic, alarms, stop=lambda: False):
    """Follow a topic from where the last save left it, until ``stop()`` says so."""
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": "imondrian",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,  # offsets are committed with the model, never ahead of it
        }
    )
    producer = Producer({"bootstrap.servers": servers})
    forest = OnlineIsolationMondrianForest.load(MODEL) if MODEL.exists() else OnlineIsolationMondrianForest(seed=0)
    alarm = AlarmFilter(forest, rate=0.01)
    consumer.subscribe([topic])
    n_read = 0
    while not stop():
        message = consumer.poll(1.0)
        if message is None or message.error():
            continue
        record = json.loads(message.value())
        x = {name: value for name, value in record.items() if isinstance(value, (int, float))}
        score = alarm.score_one(x)
        if alarm.classify(score):
            parts = sorted(forest.explain_one(x).items(), key=lambda part: -part[1])[:2]
            producer.produce(alarms, json.dumps(record | {"score": score, "reasons": dict(parts)}))
        alarm.learn_one(x)
        n_read += 1
        if n_read % EVERY == 0:
            save(forest, consumer, producer)
    if n_read % EVERY:
        save(forest, consumer, producer)
    consumer.close()


def save(forest, consumer, producer):
    """Save the model, then say that its records are read: after a crash a few are read again, none is lost."""
    producer.flush()
    forest.save(MODEL)
    consumer.commit(asynchronous=False)


if __name__ == "__main__":
    run(*sys.argv[1:4])
