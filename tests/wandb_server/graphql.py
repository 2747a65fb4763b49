"""Answers to the GraphQL operations that wandb's command lines, runs and `wandb.Api` send.

An answer holds every field that any client version asks for; what a query does not name is ignored there.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from typing import Any

from tests.wandb_server.state import ENTITY, Run, State, Sweep

Variables = dict[str, Any]
Answer = dict[str, Any]
OPERATION = re.compile(r"\b(?:query|mutation)\s+(\w+)")
PROJECT_ID = "7"


class Unmodeled(Exception):
    """A call, or a part of one, that this server does not know."""


class GraphQL:
    """Operation name to answer.

    Args:
        state: What is known.
        url: Where uploads go.
    """

    def __init__(self, state: State, url: str) -> None:
        self.state, self.url = state, url
        self.artifacts: dict[str, dict[str, Any]] = {}
        self.operations: dict[str, Callable[[Variables], Answer]] = {
            "Viewer": self.viewer,
            "GetViewer": self.viewer,
            "GetDefaultEntity": self.viewer,
            "ServerFeaturesQuery": lambda v: {"serverInfo": {"features": []}},
            "OrganizationCoreWeaveOrganizationID": lambda v: {"entity": {"organization": None}},
            "UpsertSweep": self.upsert_sweep,
            "SweepWithRuns": self.sweep_with_runs,
            "GetSweep": self.sweep_with_runs,
            "CreateAgent": self.create_agent,
            "Heartbeat": self.heartbeat,
            "UpsertBucket": self.upsert_bucket,
            "RunResumeStatus": self.resume_status,
            "CreateRunFiles": self.create_run_files,
            "Runs": self.list_runs,
            "Run": self.one_run,
            "RunFiles": self.run_files,
            "ArtifactType": lambda v: {"project": {"artifact": None}},
            "CreateArtifact": self.create_artifact,
            "CreateArtifactManifest": self.create_manifest,
            "UpdateArtifactManifest": self.create_manifest,
            "CreateArtifactFiles": self.create_artifact_files,
            "CommitArtifact": self.commit_artifact,
        }

    def answer(self, body: dict[str, Any]) -> Answer:
        """The data of a request.

        Raises:
            Unmodeled: An operation that is not known.
        """
        found = OPERATION.search(body["query"])
        name = body.get("operationName") or (found and found[1])
        if name not in self.operations:
            raise Unmodeled(f"GraphQL {name}")
        with self.state.lock:
            return self.operations[name](body.get("variables") or {})

    def viewer(self, variables: Variables) -> Answer:
        empty = {"edges": []}
        user = {"id": "user", "entity": ENTITY, "username": ENTITY, "name": ENTITY, "email": "", "admin": False}
        return {"viewer": user | {"flags": "{}", "deletedAt": None, "teams": empty, "apiKeys": empty}}

    # sweeps

    def upsert_sweep(self, variables: Variables) -> Answer:
        if variables.get("id") or variables.get("state"):
            raise Unmodeled("UpsertSweep of an existing sweep")
        if "launchScheduler" in variables and variables["launchScheduler"]:
            raise Unmodeled("UpsertSweep with a scheduler")
        sweep = self.state.create_sweep(variables["config"], variables["projectName"])
        described = {"name": sweep.name, "project": self._project(sweep.project)}
        return {"upsertSweep": {"sweep": described, "configValidationWarnings": []}}

    def sweep_with_runs(self, variables: Variables) -> Answer:
        sweep = self.state.sweeps.get(variables.get("sweep") or variables["name"])
        return {"project": {"sweep": sweep and self._sweep(sweep)}}

    def create_agent(self, variables: Variables) -> Answer:
        return {"createAgent": {"agent": {"id": self.state.create_agent(variables["sweep"]).name}}}

    def heartbeat(self, variables: Variables) -> Answer:
        commands = self.state.heartbeat(variables["id"], json.loads(variables["runState"]))
        return {"agentHeartbeat": {"agent": {"id": variables["id"]}, "commands": json.dumps(commands)}}

    # runs

    def upsert_bucket(self, variables: Variables) -> Answer:
        run, inserted = self.state.ensure_run(variables["project"], variables["name"])
        inserted = inserted or run.state == "pending"
        run.heard = self.state.clock()
        run.state = "running"
        if variables.get("config"):
            run.config = json.loads(variables["config"])
        for key in ("displayName", "groupName", "jobType", "tags", "program"):
            if variables.get(key) is not None:
                run.about[key] = variables[key]
        if variables.get("sweep") not in (None, run.sweep):
            raise Unmodeled(f"UpsertBucket into sweep {variables['sweep']}")
        return {"upsertBucket": {"bucket": self._run(run), "inserted": inserted}}

    def resume_status(self, variables: Variables) -> Answer:
        run = self.state.run(variables["project"], variables["name"])
        if run is None or run.state == "pending":
            return {"model": {"id": PROJECT_ID, "name": variables["project"], "bucket": None}}
        project = self._project(run.project)
        return {"model": project | {"bucket": self._run(run)}}

    def create_run_files(self, variables: Variables) -> Answer:
        run = self.state.run(variables["project"], variables["run"])
        path = f"{self.url}/storage/{run.project}/{run.name}"
        files = [{"name": name, "uploadUrl": f"{path}/{name}"} for name in variables["files"]]
        return {"createRunFiles": {"runID": run.storage_id, "uploadHeaders": [], "files": files}}

    def list_runs(self, variables: Variables) -> Answer:
        wanted = json.loads(variables.get("filters") or "{}")
        runs = [run for run in self.state.runs.values() if run.project == variables["project"]]
        runs = [run for run in runs if matches(run, wanted)]
        order = variables.get("order") or "+created_at"
        if order.lstrip("+-") != "created_at":
            raise Unmodeled(f"Runs ordered by {order}")
        runs.sort(key=lambda run: run.number, reverse=order.startswith("-"))
        begin = int(variables.get("cursor") or 0)
        shown = runs[begin : begin + (variables.get("perPage") or 50)]
        end = begin + len(shown)
        edges = [{"node": self._run(run), "cursor": str(begin + i + 1)} for i, run in enumerate(shown)]
        page = {"edges": edges, "pageInfo": {"endCursor": str(end), "hasNextPage": end < len(runs)}}
        return {"project": {"internalId": PROJECT_ID, "runCount": len(runs), "readOnly": False, "runs": page}}

    def one_run(self, variables: Variables) -> Answer:
        run = self.state.run(variables["project"], variables["name"])
        return {"project": {"run": run and self._run(run)}}

    def run_files(self, variables: Variables) -> Answer:
        run = self.state.run(variables["project"], variables["name"])
        if variables.get("pattern"):
            raise Unmodeled("RunFiles by pattern")
        names = variables.get("fileNames") or sorted(run.files)
        edges = [{"node": self._file(run, name), "cursor": name} for name in names if name in run.files]
        files = {"edges": edges, "pageInfo": {"endCursor": None, "hasNextPage": False}}
        return {"project": {"internalId": PROJECT_ID, "run": {"fileCount": len(edges), "files": files}}}

    # artifacts

    def create_artifact(self, variables: Variables) -> Answer:
        given = variables["input"]
        name = f"artifact{len(self.artifacts)}"
        artifact = {"id": name, "name": given["artifactCollectionName"], "type": given["artifactTypeName"]}
        self.artifacts[name] = artifact | {"files": [], "state": "PENDING"}
        self.state.run(given["projectName"], given["runName"]).artifacts.append(self.artifacts[name])
        created = {"id": name, "state": "PENDING", "artifactSequence": {"id": "sequence", "latestArtifact": None}}
        return {"createArtifact": {"artifact": created}}

    def create_manifest(self, variables: Variables) -> Answer:
        url = f"{self.url}/artifacts/{variables['artifactID']}/manifest"
        file = {"id": "manifest", "uploadUrl": url, "uploadHeaders": []}
        return {"createArtifactManifest": {"artifactManifest": {"id": "manifest", "file": file}}}

    def create_artifact_files(self, variables: Variables) -> Answer:
        edges = []
        for file in variables["input"]["artifactFiles"]:
            artifact = self.artifacts[file["artifactID"]]
            artifact["files"].append(file["name"])
            path = f"artifacts/{artifact['id']}/{file['name']}"
            node = {"storagePath": path, "uploadUrl": f"{self.url}/{path}", "uploadHeaders": []}
            edges.append({"node": node | {"uploadMultipartUrls": None, "artifact": {"id": artifact["id"]}}})
        return {"createArtifactFiles": {"files": {"edges": edges}}}

    def commit_artifact(self, variables: Variables) -> Answer:
        artifact = self.artifacts[variables["artifactID"]]
        artifact["state"] = "COMMITTED"
        return {"commitArtifact": {"artifact": {"id": artifact["id"], "digest": ""}}}

    # forms

    def _project(self, name: str) -> Answer:
        return {"id": PROJECT_ID, "name": name, "entity": {"id": "entity", "name": ENTITY}}

    def _sweep(self, sweep: Sweep) -> Answer:
        runs = [self._run(run) for run in self.state.sweep_runs(sweep)]
        return {
            "__typename": "Sweep",
            "id": sweep.name,
            "name": sweep.name,
            "displayName": None,
            "method": "grid",
            "state": "FINISHED" if self.state.is_over(sweep) else "RUNNING",
            "description": None,
            "config": sweep.config,
            "createdAt": "2020-01-01T00:00:00Z",
            "updatedAt": "2020-01-01T00:00:00Z",
            "heartbeatAt": None,
            "earlyStopJobRunning": False,
            "bestLoss": None,
            "controller": None,
            "scheduler": None,
            "runCount": len(runs),
            "runCountExpected": len(runs) + len(sweep.waiting),
            "runs": {"edges": [{"node": run} for run in runs]},
        }

    def _run(self, run: Run) -> Answer:
        return {
            "id": run.storage_id,
            "projectId": PROJECT_ID,
            "project": self._project(run.project),
            "name": run.name,
            "displayName": run.about.get("displayName") or run.name,
            "description": None,
            "notes": None,
            "tags": run.about.get("tags") or [],
            "group": run.about.get("groupName"),
            "jobType": run.about.get("jobType"),
            "sweepName": run.sweep,
            "state": run.state,
            "config": json.dumps(run.config),
            "summaryMetrics": json.dumps(run.summary),
            "systemMetrics": "{}",
            "historyKeys": None,
            "historyLineCount": len(run.history),
            "historyTail": json.dumps([json.dumps(row) for row in run.history[-1:]]),
            "eventsLineCount": 0,
            "eventsTail": "[]",
            "logLineCount": 0,
            "wandbConfig": json.dumps({"t": 1}),
            "commit": None,
            "readOnly": False,
            "createdAt": run.created,
            "heartbeatAt": run.created,
            "user": {"name": ENTITY, "username": ENTITY},
            "exitcode": run.exit_codes[-1] if run.exit_codes else None,
            "shouldStop": False,
            "failed": run.state == "failed",
            "stopped": False,
            "running": run.state == "running",
            "sampledHistory": [],
        }

    def _file(self, run: Run, name: str) -> Answer:
        content, url = run.files[name], f"{self.url}/storage/{run.project}/{run.name}/{name}"
        digest = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
        about = {"id": f"{run.name}/{name}", "name": name, "url": url, "directUrl": url, "md5": digest}
        return about | {"sizeBytes": str(len(content)), "mimetype": "", "updatedAt": "2020-01-01T00:00:00Z"}


def matches(run: Run, wanted: dict[str, Any]) -> bool:
    """Whether a run fits a filter in the MongoDB form; the few forms that are used here.

    Raises:
        Unmodeled: Another form.
    """
    for key, value in wanted.items():
        if key == "$and":
            if not all(matches(run, part) for part in value):
                return False
        elif key in ("sweep", "state") and isinstance(value, str):
            if getattr(run, key) != value:
                return False
        else:
            raise Unmodeled(f"Runs filtered by {key}: {value!r}")
    return True
