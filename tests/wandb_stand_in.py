"""A small W&B server on loopback that keeps what the client sends: runs, files, reports, sweeps.

It answers the GraphQL operations that ``wandb`` and ``wandb-workspaces`` use here, takes the file stream and uploads,
and deals a grid sweep out to agents. An operation that it does not know is refused and kept in ``unknown``.
"""

from __future__ import annotations

import itertools
import json
import re
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote, unquote

import yaml

ENTITY = "someone"
STREAM = re.compile(r"/files/([^/]+)/([^/]+)/([^/]+)/file_stream")


@dataclass
class SeenRun:
    """What arrived of one run."""

    id: str
    project: str
    group: str = ""
    job_type: str = ""
    name: str = ""
    sweep: str = ""
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    exit_code: int | None = None

    def file(self, key: str) -> bytes:
        """The uploaded file that the summary's ``key`` points at."""
        return self.files[self.summary[key]["path"]]

    def table(self, key: str) -> dict[str, Any]:
        """The table that was logged as ``key``: ``columns`` and ``data``."""
        return json.loads(self.file(key))

    def stream(self, content: dict[str, Any]) -> None:
        """Take one message of the file stream."""
        files = content.get("files") or {}
        if history := files.get("wandb-history.jsonl"):
            rows = [json.loads(line) for line in history["content"]]
            # Lines replace what is at their offset: a client may send the same ones again.
            self.history[history["offset"] : history["offset"] + len(rows)] = rows
        if summary := files.get("wandb-summary.json"):
            self.summary = json.loads(summary["content"][-1])
        if content.get("complete"):
            self.exit_code = content["exitcode"]


@dataclass
class SeenSweep:
    """A sweep, the cells of its grid that no agent has yet, and the agents' reports."""

    id: str
    project: str
    config: dict[str, Any]
    owed: list[dict[str, Any]]
    dealt: dict[str, dict[str, Any]] = field(default_factory=dict)


class StandIn:
    """``with StandIn() as api:`` serves at ``api.url``; ``api.environment()`` points a client at it."""

    def __init__(self) -> None:
        self.runs: dict[str, SeenRun] = {}
        self.reports: dict[str, dict[str, Any]] = {}
        self.sweeps: dict[str, SeenSweep] = {}
        self.unknown: list[str] = []
        self.keys: set[str] = set()
        self._agents: dict[str, str] = {}
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"api": self}))

    def __enter__(self) -> StandIn:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def environment(self, home: Path) -> dict[str, str]:
        """Variables for a client that knows nothing but this server; its files go below ``home``."""
        places = {f"WANDB_{name}_DIR": str(home / name.lower()) for name in ("CONFIG", "CACHE", "DATA", "ARTIFACT")}
        (home / "runs").mkdir(parents=True, exist_ok=True)
        account = {"WANDB_BASE_URL": self.url, "WANDB_API_KEY": "k" * 40, "HOME": str(home)}
        return {**places, **account, "WANDB_DIR": str(home / "runs")}

    def answer(self, operation: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The ``data`` of one GraphQL request.

        Raises:
            KeyError: It does not know the operation.
        """
        with self._lock:
            handler = getattr(self, f"_on_{operation.lower()}", None)
            if handler is None:
                self.unknown.append(operation)
                raise KeyError(operation)
            return handler(variables)

    def _run(self, project: str | None, name: str) -> SeenRun:
        return self.runs.setdefault(name, SeenRun(name, project or ""))

    def _bucket(self, run: SeenRun) -> dict[str, Any]:
        owner = {"id": "p", "name": run.project, "entity": {"id": "e", "name": ENTITY}}
        return {
            "id": run.id,
            "name": run.id,
            "displayName": run.name,
            "description": "",
            "config": json.dumps({key: {"value": value} for key, value in run.config.items()}),
            "sweepName": run.sweep or None,
            "historyLineCount": len(run.history),
            "eventsLineCount": 0,
            "logLineCount": 0,
            "historyTail": json.dumps([json.dumps(row) for row in run.history[-1:]]),
            "eventsTail": "[]",
            "summaryMetrics": json.dumps(run.summary),
            "tags": run.tags,
            "project": owner,
        }

    def _on_viewer(self, _: dict[str, Any]) -> dict[str, Any]:
        teams = {"edges": [{"node": {"name": ENTITY}}]}
        return {"viewer": {"id": "u", "entity": ENTITY, "username": ENTITY, "flags": "{}", "teams": teams}}

    _on_getdefaultentity = _on_viewer

    def _on_serverfeaturesquery(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"serverInfo": {"features": []}}

    def _on_createartifact(self, given: dict[str, Any]) -> dict[str, Any]:
        # As if the server had it already: the client then uploads nothing for it. The file itself goes with the run.
        sequence = {"id": "s", "latestArtifact": {"id": "a", "versionIndex": 0}}
        return {"createArtifact": {"artifact": {"id": "a", "state": "COMMITTED", "artifactSequence": sequence}}}

    def _on_artifacttype(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"project": {"artifact": {"artifactType": {"name": "run_table"}}}}

    def _on_runresumestatus(self, given: dict[str, Any]) -> dict[str, Any]:
        run = self.runs.get(given["name"])
        seen = self._bucket(run) if run and run.history else None
        return {"model": {"id": "p", "name": given["project"], "entity": {"id": "e", "name": ENTITY}, "bucket": seen}}

    def _on_upsertbucket(self, given: dict[str, Any]) -> dict[str, Any]:
        known = given["name"] in self.runs
        run = self._run(given.get("project"), given["name"])
        run.project = given.get("project") or run.project
        run.group, run.job_type = given.get("groupName") or run.group, given.get("jobType") or run.job_type
        run.name, run.sweep = given.get("displayName") or run.name, given.get("sweep") or run.sweep
        run.tags = given.get("tags") or run.tags
        config = json.loads(given.get("config") or "{}")
        run.config |= {key: entry["value"] for key, entry in config.items() if key != "_wandb"}
        return {"upsertBucket": {"bucket": self._bucket(run), "inserted": not known}}

    def _on_createrunfiles(self, given: dict[str, Any]) -> dict[str, Any]:
        run = self._run(given["project"], given["run"])
        files = [{"name": name, "uploadUrl": self._upload(run, name)} for name in given["files"]]
        return {"createRunFiles": {"runID": run.id, "uploadHeaders": [], "files": files}}

    def _upload(self, run: SeenRun, name: str) -> str:
        return f"{self.url}/upload/{run.id}/{quote(name)}"

    def _on_getprojects(self, _: dict[str, Any]) -> dict[str, Any]:
        names = sorted({run.project for run in self.runs.values()})
        more = {"createdAt": "2026-01-01T00:00:00", "isBenchmark": False, "user": None, "entityName": ENTITY}
        edges = [
            {"node": {"__typename": "Project", "id": name, "name": name, **more}, "cursor": name} for name in names
        ]
        return {
            "models": {"edges": edges, "pageInfo": {"__typename": "PageInfo", "endCursor": None, "hasNextPage": False}}
        }

    def _on_upsertview(self, given: dict[str, Any]) -> dict[str, Any]:
        known = given.get("id")
        assert known is None or known in self.reports, f"no report {known}"
        report = given | {"id": known or f"Vm{len(self.reports)}", "spec": json.loads(given["spec"])}
        self.reports[report["id"]] = report
        project = {"id": "p", "name": given["projectName"], "entityName": given["entityName"]}
        view = {key: given[key] for key in ("type", "name", "displayName", "description", "spec")}
        stamp = {"id": report["id"], "updatedAt": "2026-01-01T00:00:00"}
        return {"upsertView": {"view": view | stamp | {"project": project}, "inserted": known is None}}

    def _on_upsertsweep(self, given: dict[str, Any]) -> dict[str, Any]:
        config, name = yaml.safe_load(given["config"]), f"sweep{len(self.sweeps)}"
        assert config["method"] == "grid", "only a grid can be dealt out here"
        axes = {key: spec.get("values", [spec.get("value")]) for key, spec in config["parameters"].items()}
        owed = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
        project = given["projectName"]
        self.sweeps[name] = SeenSweep(name, project, config, owed)
        owner = {"id": "p", "name": project, "entity": {"id": "e", "name": ENTITY}}
        return {"upsertSweep": {"sweep": {"name": name, "project": owner}, "configValidationWarnings": []}}

    def _on_sweepwithruns(self, given: dict[str, Any]) -> dict[str, Any]:
        sweep = self.sweeps[given["sweep"]]
        found = {"id": sweep.id, "name": sweep.id, "method": "grid", "state": "RUNNING"}
        return {"project": {"sweep": found | {"config": yaml.safe_dump(sweep.config), "runs": {"edges": []}}}}

    def _on_createagent(self, given: dict[str, Any]) -> dict[str, Any]:
        agent = f"agent{len(self._agents)}"
        self._agents[agent] = given["sweep"]
        return {"createAgent": {"agent": {"id": agent}}}

    def _on_heartbeat(self, given: dict[str, Any]) -> dict[str, Any]:
        sweep, commands = self.sweeps[self._agents[given["id"]]], []
        if not json.loads(given["runState"]):  # the agent runs nothing: it gets the next cell, or is done
            commands = [{"type": "exit"}]
            if sweep.owed:
                name, values = f"{sweep.id}-run{len(sweep.dealt)}", sweep.owed.pop(0)
                sweep.dealt[name] = values
                arguments = {key: {"value": value} for key, value in values.items()}
                commands = [{"type": "run", "run_id": name, "args": arguments, "program": sweep.config["program"]}]
        return {"agentHeartbeat": {"agent": {"id": given["id"]}, "commands": json.dumps(commands)}}


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that ends drops its open connections; anything else is a fault of the stand-in."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    api: StandIn
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """GraphQL, the file stream; anything else is telemetry, which nobody asked for."""
        body = self._body()
        if stream := STREAM.match(self.path):
            self.api.runs[stream[3]].stream(json.loads(body))
            self._send({})
        elif self.path == "/graphql":
            self.api.keys.add(self.headers.get("Authorization", ""))
            request = json.loads(body)
            operation = re.search(r"(?:query|mutation)\s+(\w+)", request["query"])
            name = operation[1] if operation else request["query"]
            try:
                self._send({"data": self.api.answer(name, request.get("variables") or {})})
            except (KeyError, AssertionError) as error:
                self._send({"errors": [{"message": f"{name}: {error!r}"}]})
        else:
            self._send({})

    def do_PUT(self) -> None:
        """An upload."""
        _, _, run, name = self.path.split("/", 3)
        self.api.runs[run].files[unquote(name)] = self._body()
        self._send({})

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _send(self, answer: dict[str, Any]) -> None:
        text = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Say nothing."""
