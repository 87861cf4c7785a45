"""What W&B's server does with a run's rows, on this machine: keeps them by their offset, and tells of them again."""

import gzip
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass
class Kept:
    """One run on the server."""

    rows: dict[int, str] = field(default_factory=dict)
    """Lines by offset."""
    summary: str = "{}"
    said: dict[str, Any] = field(default_factory=dict)
    """What the last upsert said of it."""
    lines_sent: int = 0
    artifacts: list[str] = field(default_factory=list)


class Server(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.runs: dict[str, Kept] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, operation: str, v: dict[str, Any]) -> dict[str, Any]:
        project = {"id": "p", "name": "scratchlab", "entity": {"id": "e", "name": "me"}, "entityName": "me"}
        run = self.runs.get(v.get("name") or v.get("run") or "")
        match operation:
            case "ArtifactType":
                return {"project": {"artifact": None}}
            case "Viewer" | "GetDefaultEntity":
                return {"viewer": {"id": "v", "entity": "me", "username": "me", "flags": "{}", "teams": {"edges": []}}}
            case "RunResumeStatus":
                return {"model": project | {"bucket": self.bucket(v["name"]) if run else None}}
            case "UpsertBucket":
                inserted = v["name"] not in self.runs
                self.runs.setdefault(v["name"], Kept()).said.update({k: x for k, x in v.items() if x})
                bucket = {"id": "x", "name": v["name"], "displayName": v["displayName"], "config": "{}"}
                return {"upsertBucket": {"bucket": bucket | {"project": project}, "inserted": inserted}}
            case "CreateArtifact":
                self.runs[v["input"]["runName"]].artifacts.append(v["input"]["artifactCollectionName"])
                sequence = {"id": "s", "latestArtifact": {"id": "a", "versionIndex": 0}}
                return {"createArtifact": {"artifact": {"id": "a", "state": "COMMITTED", "artifactSequence": sequence}}}
            case "Run":
                about = {
                    "projectId": 1,
                    "historyKeys": self.keys(v["name"]),
                    "state": "finished",
                    "user": {"name": "me", "username": "me"},
                }
                return {"project": {"run": self.bucket(v["name"]) | about if run else None}}
            case "RunHistoryKeys":
                return {"project": {"run": {"historyKeys": self.keys(v["name"])}}}
            case "RunParquetHistory":
                rows = [json.loads(line) for _, line in sorted(self.runs[v["runName"]].rows.items())]
                return {"project": {"run": {"parquetHistory": {"parquetUrls": [], "liveData": rows}}}}
            case "HistoryPage":
                rows = self.runs[v["run"]].rows.values()
                return {
                    "project": {
                        "run": {"history": [r for r in rows if v["minStep"] <= json.loads(r)["_step"] < v["maxStep"]]}
                    }
                }
            case "RunOutputArtifacts":
                edges = [{"node": artifact(name), "cursor": ""} for name in self.runs[v["run"]].artifacts]
                page = {"__typename": "PageInfo", "endCursor": None, "hasNextPage": False}
                found = {"totalCount": len(edges), "pageInfo": page, "edges": edges}
                return {"project": {"run": {"artifacts": found}}}
            case "CreateRunFiles":
                files = [{"name": name, "uploadUrl": f"{self.url}/upload"} for name in v["files"]]
                return {"createRunFiles": {"runID": "x", "uploadHeaders": [], "files": files}}
        return {}

    def bucket(self, name: str) -> dict[str, Any]:
        run = self.runs[name]
        last = [run.rows[max(run.rows)]] if run.rows else []
        return {
            "id": "x", "name": name, "displayName": name, "config": "{}", "summaryMetrics": run.summary, "tags": [],
            "notes": "", "logLineCount": 0, "eventsLineCount": 0, "historyLineCount": len(run.rows),
            "historyTail": json.dumps(last), "eventsTail": "[]", "wandbConfig": '{"t": 1}',
        }  # fmt: skip

    def keys(self, name: str) -> dict[str, Any]:
        return {"lastStep": max(self.runs[name].rows, default=-1), "keys": {}}

    def take(self, name: str, files: dict[str, Any]) -> None:
        run = self.runs.setdefault(name, Kept())
        for number, line in enumerate(files.get("wandb-history.jsonl", {}).get("content", [])):
            row = json.loads(line, parse_constant=str)  # NaN and infinities are told again as texts
            run.rows[files["wandb-history.jsonl"]["offset"] + number] = json.dumps(row)
            run.lines_sent += 1
        for line in files.get("wandb-summary.json", {}).get("content", []):
            run.summary = line


def artifact(name: str) -> dict[str, Any]:
    project = {"id": "p", "internalId": "1", "name": "scratchlab", "entity": {"name": "me"}}
    return {
        "__typename": "Artifact", "id": "a", "versionIndex": 0, "artifactType": {"name": "record"}, "description": None,
        "artifactSequence": {"__typename": "ArtifactSequence", "name": name, "project": project}, "metadata": "{}",
        "ttlDurationSeconds": 0, "ttlIsInherited": False, "tags": [], "historyStep": None, "state": "COMMITTED",
        "size": 1, "digest": "d", "commitHash": "c", "fileCount": 1, "createdAt": "2026-01-01T00:00:00", "aliases": [],
        "updatedAt": None,
    }  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:  # W&B's service keeps connections until it ends
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
        answer: dict[str, Any] = {}
        if self.path == "/graphql":
            asked = json.loads(body)
            found = re.search(r"(?:query|mutation)\s+(\w+)", asked["query"])
            operation = found.group(1) if found else ""
            answer = {"data": self.server.answer(operation, asked.get("variables") or {})}
        elif self.path.endswith("/file_stream"):
            self.server.take(self.path.split("/")[-2], json.loads(body).get("files") or {})
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_PUT = do_GET = do_POST


@contextmanager
def serving() -> Iterator[Server]:
    server = Server()
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
