"""What a cluster run is made of, without a cluster: room, waits, mini-batches, rows, questions."""

from __future__ import annotations

import asyncio
import random
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files as files_of

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from agents.episode import Episode, Start, Turn
from agents.sampler import Request, Sampling
from algorithms.machine import Machine
from algorithms.workers.cluster import placement
from algorithms.workers.cluster.asking import ask, generation_of, sampling_params
from algorithms.workers.cluster.hosts import Host
from algorithms.workers.cluster.mini_batches import mini_batches
from algorithms.workers.cluster.placement import Needs, needs_of, require_no_queue, require_room, start_ray
from algorithms.workers.cluster.pools import PatientBuffer
from algorithms.workers.cluster.rows import assemble, fields_of, head_of, turn_of
from algorithms.workers.cluster.waiting import ClusterError, WaitedTooLongError, in_short, within
from conf.runners import RunnerConfig
from envs import ContractError

CPU, CUDA = Machine("cpu", torch.float32, 1), Machine("cuda", torch.bfloat16, 1)
CLUSTER = {"name": "cluster", "shortcuts": False}


def test_too_little_room_says_how_much_is_missing():
    needs = needs_of(RunnerConfig(**CLUSTER, ranks=8), CUDA)
    assert needs == Needs(cpus=11, gpus=8)
    require_room({"CPU": 11.0, "GPU": 8.0}, needs, "here")
    with pytest.raises(ClusterError, match=r"runner.ranks=8: missing 7 CPUs \(it asks for 11, 4 are free\) and 3 GPUs"):
        require_room({"CPU": 4.0, "GPU": 5.0}, needs, "here")
    with pytest.raises(ClusterError, match=r"missing 8 GPUs \(it asks for 8, 0 are free\)"):
        require_room({"CPU": 16.0}, needs, "here")


def test_more_ranks_than_cores_can_bear_are_refused_before_ray_begins(monkeypatch):
    monkeypatch.setattr(placement, "usable_cores", lambda: 2)
    with pytest.raises(ClusterError, match=r"runner.ranks=64 on 2 cores: .* at most 4; .*runner.cpus=67"):
        start_ray(RunnerConfig(**CLUSTER, ranks=64), CPU)


def test_a_cluster_of_too_few_machines_is_refused(monkeypatch):
    monkeypatch.setattr(placement.ray, "init", lambda **settings: None)
    monkeypatch.setattr(placement.ray, "nodes", lambda: [{"Alive": True}, {"Alive": False}])
    with pytest.raises(ClusterError, match=r"runner.nodes=2: the Ray at runner.address=auto has 1"):
        start_ray(RunnerConfig(**CLUSTER, address="auto", ranks=2, nodes=2), CPU)


def test_a_ray_that_is_not_there_is_named_at_once():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]  # nobody listens
        with pytest.raises(ClusterError, match=f"no Ray answers at runner.address=127.0.0.1:{port} within 10 seconds"):
            start_ray(RunnerConfig(**CLUSTER, address=f"127.0.0.1:{port}"), CPU)
    with pytest.raises(ClusterError, match=r"runner.address=nonsense is not valid"):
        start_ray(RunnerConfig(**CLUSTER, address="nonsense"), CPU)


def test_a_queue_of_another_run_is_refused_when_it_does_not_go(monkeypatch):
    asked = []
    monkeypatch.setattr(placement, "LEAVE_S", 0.6)
    monkeypatch.setattr(placement.ray, "get_actor", lambda name, namespace: asked.append((name, namespace)))
    with pytest.raises(ClusterError, match=r"another run has its queue in this Ray.*runner.address=null"):
        require_no_queue()
    assert len(asked) >= 2

    def gone(name, namespace):
        raise ValueError(name)

    monkeypatch.setattr(placement.ray, "get_actor", gone)
    require_no_queue()


def test_ranks_that_nobody_places_are_given_up_and_told(monkeypatch):
    removed = []

    class Group:
        def wait(self, seconds):
            return False

    monkeypatch.setattr(placement, "placement_group", lambda bundles, strategy: Group())
    monkeypatch.setattr(placement, "placement_group_table", lambda group: {"state": "PENDING"})
    monkeypatch.setattr(placement, "remove_placement_group", removed.append)
    monkeypatch.setattr(placement.ray, "available_resources", lambda: {"CPU": 3.0})
    runner = RunnerConfig(**CLUSTER, address="auto", ranks=4, nodes=2, start_timeout_s=5)
    with pytest.raises(ClusterError, match=r"2 of 2 groups of 2 ranks .*runner.start_timeout_s=5 seconds \(PENDING\)"):
        placement.place(runner, CPU)
    assert len(removed) == 2


def test_episodes_that_do_not_end_are_given_up_by_name():
    trainer = OmegaConf.load(files_of("verl") / "trainer/config/ppo_trainer.yaml").trainer.v1
    buffer = PatientBuffer(trainer, limit_s=0.01)
    buffer.begin()
    time.sleep(0.05)
    with pytest.raises(WaitedTooLongError, match=r"the episodes of 0 groups: no answer within runner.step_timeout_s"):
        buffer._wait_for_next_poll("train", 0.0)


def test_a_host_gives_every_environment_a_number_of_its_own(tiny_config):
    """However many threads make them at once."""
    host = Host(tiny_config("task.processes=1").task)
    with ThreadPoolExecutor(8) as threads:
        numbers = list(threads.map(lambda _: host.make(), range(8)))
    assert sorted(numbers) == list(range(1, 9))
    observation, _ = host.reset(numbers[0], 0, {"split": "train", "index": 0})
    assert observation == host.reset(numbers[1], 0, {"split": "train", "index": 0})[0]
    for number in numbers:
        host.close(number)


def test_of_a_process_that_died_it_is_said_which():
    lines = [
        "The actor died.",
        "\tclass_name: WorkerDict",
        "\tactor_id: 0f",
        "\tname: WorkerDict_0:1",
        "\tpid: 7",
        "\tip: 1.2.3.4",
    ]
    said = in_short("\n".join([*lines, "Killed by " + "somebody " * 100]))
    assert said.startswith(
        "The actor died. (class_name: WorkerDict, name: WorkerDict_0:1, pid: 7, ip: 1.2.3.4) Killed by"
    )
    assert said.endswith("somebody ...")
    assert in_short("one line") == "one line"


def test_a_wait_ends_and_says_what_for():
    assert within("a sum", "patience", 5, lambda: 1 + 1) == 2
    with pytest.raises(ZeroDivisionError):
        within("a ratio", "patience", 5, lambda: 1 / 0)
    with pytest.raises(WaitedTooLongError, match=r"a friend: no answer within patience=0.05 seconds"):
        within("a friend", "patience", 0.05, threading.Event().wait)


@pytest.mark.parametrize("n_updates", [1, 3])
def test_mini_batches_are_those_of_the_local_runner_filled_up(n_updates):
    lengths = [random.Random(row).randint(5, 60) for row in range(11)]
    parts = mini_batches(lengths, n_updates, n_ranks=4)
    assert [sorted(row for row in part if row < 11) for part in parts] == [
        part.tolist() for part in np.array_split(np.arange(11), n_updates)
    ]
    assert all(len(part) % 4 == 0 for part in parts)
    padding = sorted(row for part in parts for row in part if row >= 11)
    assert padding == list(range(11, 11 + len(padding)))


def test_mini_batches_are_never_more_than_rows():
    assert [len(part) for part in mini_batches([9, 9], 5, n_ranks=2)] == [2, 2]


def turn(text, reward=0.0, anchor="room"):
    """A turn of three tokens."""
    return Turn([1, 2], [3, 4, 5], [-0.5] * 3, [0.1] * 3, False, text, "a room", reward, {"outcome": reward}, anchor)


def two_episodes():
    """Of one group: two turns, and one."""
    starts = [Start("train", 7, 0, sample, sampling_seed=sample) for sample in range(3)]
    first = Episode(starts[0], [turn("go"), turn("take", 1.0)], "item", "pick", success=True)
    return starts, [first, Episode(starts[1], [turn("look")], "item", "pick", "truncated")]


def test_episodes_come_back_as_they_went_in_whatever_the_order_of_their_rows():
    starts, episodes = two_episodes()
    lost = Episode(starts[2], status="env_error", error="OSError: no simulator")
    rows = [
        (fields, turn_of(fields, one.prompt_ids, one.response_ids, one.logprobs))
        for episode in episodes
        for number, one in enumerate(episode.turns)
        for fields in [fields_of(episode, number)]
    ]
    assert [(fields["trajectory"], fields["turn"]) for fields, _ in rows] == [("0-0", 0), ("0-0", 1), ("0-1", 0)]
    assert (rows[1][0]["step_reward"], rows[1][0]["anchor"], rows[1][0]["valid"]) == (1.0, "room", True)
    again, places = assemble(starts, rows[::-1], [head_of(lost)])
    assert again == [*episodes, lost]
    assert places == [(1, 0), (0, 1), (0, 0)]


def test_an_episode_that_neither_came_nor_was_lost_is_an_error():
    starts, _ = two_episodes()
    with pytest.raises(ContractError, match="3 of 3 episodes did not come back"):
        assemble(starts, [], [])


def test_groups_begin_in_one_state():
    starts, (first, second) = two_episodes()
    second.turns[0].anchor = "elsewhere"
    rows = [(fields_of(one, 0), one.turns[0]) for one in (first, second)]
    with pytest.raises(ContractError, match="group 0 began in different states"):
        assemble(starts[:2], rows, [])


class Slow:
    """A server that does not answer."""

    async def generate(self, **question):
        await asyncio.sleep(60)


class Answer:
    """What verl's servers answer with."""

    def __init__(self, token_ids, log_probs, **extra_fields):
        self.token_ids, self.log_probs, self.extra_fields = token_ids, log_probs, extra_fields


def test_questions_are_in_the_servers_words():
    sampling = Sampling(0.7, 12, frozenset({9, 2}))
    asked = sampling_params(Request([1], seed=5), sampling, "vllm")
    assert (asked["temperature"], asked["max_tokens"], asked["stop_token_ids"], asked["seed"]) == (0.7, 12, [2, 9], 5)
    assert sampling_params(Request([1], seed=5), sampling, "sglang")["sampling_seed"] == 5


def test_an_answer_is_cut_off_when_it_ends_with_no_stop_token():
    sampling = Sampling(1.0, 2, frozenset({9}))
    assert not generation_of(Answer([4, 9], [-1.0, -2.0], entropies=[0.1, 0.2]), sampling).truncated
    cut = generation_of(Answer([4, 4], [-1.0, -2.0]), sampling)
    assert cut.truncated
    assert np.isnan(cut.entropies).all()
    with pytest.raises(ClusterError, match="2 tokens and 0 log-probs"):
        generation_of(Answer([4, 9], None), sampling)


def test_an_answer_that_does_not_come_is_named():
    waiting = ask(Slow(), "0-3", Request([1], 0), Sampling(1.0, 2, frozenset()), "hf_server", 0.05)
    with pytest.raises(WaitedTooLongError, match=r"the answer of hf_server to 0-3: .*runner.answer_timeout_s=0.05"):
        asyncio.run(waiting)
