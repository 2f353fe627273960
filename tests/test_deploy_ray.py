"""The files of deploy/kubernetes-ray/: valid, of one piece with each other, and their commands really start."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest

from tests.chaos.served import wait_until
from tests.engine.tiny_bases import make_folder
from tests.live import Server
from tests.ray_cluster import free_port
from tests.test_deploy import DEPLOY, HOST, client_of, container, documents, port_of, said
from tunery.config import Shared
from tunery.service.library import Library

FOLDER, BASE_FOLDER = DEPLOY / "kubernetes-ray", DEPLOY / "kubernetes"
SCHEMAS = Path(__file__).parent / "fixtures" / "crds"
VERSION = "1.34"


def document(name: str, kind: str) -> dict[str, Any]:
    """Return the one document of a kind in a file of the folder."""
    [found] = [one for one in documents(FOLDER / name) if one["kind"] == kind]
    return found


def patched_api() -> dict[str, Any]:
    """Return the Deployment of the servers as Kustomize makes it: the patch over the base, lists merged by name."""
    [base] = [one for one in documents(BASE_FOLDER / "api.yaml") if one["kind"] == "Deployment"]
    return _merged(base, document("api.yaml", "Deployment"))


def _merged(base: Any, patch: Any) -> Any:
    if isinstance(base, dict) and isinstance(patch, dict):
        return {**base, **{key: _merged(base[key], patch[key]) if key in base else patch[key] for key in patch}}
    if isinstance(base, list) and all(isinstance(one, dict) for one in [*base, *patch]):
        key = "mountPath" if "mountPath" in patch[0] else "name"
        known = {one[key]: one for one in copy.deepcopy(base)}
        for one in patch:
            known[one[key]] = _merged(known[one[key]], one) if one[key] in known else one
        return list(known.values())
    return patch


def options(command: list[str]) -> dict[str, str]:
    return dict(part.removeprefix("--").partition("=")[::2] for part in command if part.startswith("--"))


@pytest.fixture
def containers() -> dict[str, dict[str, Any]]:
    """Return the containers by name: api and ray in a pod of the servers, head and worker of the cluster."""
    spec = document("cluster.yaml", "RayCluster")["spec"]
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    pods = [patched_api()["spec"]["template"], *(group["template"] for group in groups)]
    return {one["name"]: one for pod in pods for one in pod["spec"]["containers"]}


def test_the_files_are_all_named() -> None:
    """By kustomization.yaml, or by the guide: what Kueue may give out is the administrator's to apply."""
    [kustomization] = documents(FOLDER / "kustomization.yaml")
    patches = [patch["path"] for patch in kustomization["patches"]]
    named = {*kustomization["resources"], *patches, *kustomization["configurations"]} - {"../kubernetes"}

    assert named | {"kustomization.yaml", "kueue.yaml"} == {path.name for path in FOLDER.glob("*.yaml")}
    assert "kubectl apply -f deploy/kubernetes-ray/kueue.yaml" in (DEPLOY.parent / "docs" / "deploying.md").read_text()


def test_the_kubernetes_files_are_valid() -> None:
    """By the schemas of Kubernetes: the network, the patched servers, and the pods of the cluster."""
    spec = document("cluster.yaml", "RayCluster")["spec"]
    pods = [group["template"] for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"])]
    named = [{"apiVersion": "v1", "kind": "Pod", **pod, "metadata": {**pod["metadata"], "name": "x"}} for pod in pods]

    for one in [*documents(FOLDER / "network.yaml"), patched_api(), *named]:
        kubernetes_validate.validate(one, VERSION, strict=True)


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("cluster.yaml", "RayCluster"),
        *(("kueue.yaml", kind) for kind in ("ResourceFlavor", "ClusterQueue", "LocalQueue")),
    ],
)
def test_the_custom_resources_are_valid(file: str, kind: str) -> None:
    """By the schemas of KubeRay and Kueue, which know no other fields; pods are checked apart."""
    schema = json.loads((SCHEMAS / f"{kind}.json").read_text())

    jsonschema.validate(document(file, kind), schema)


def test_a_wrong_field_of_the_cluster_is_found() -> None:
    """The schema is not one that lets everything pass."""
    schema = json.loads((SCHEMAS / "RayCluster.json").read_text())
    wrong = document("cluster.yaml", "RayCluster")
    wrong["spec"]["workerGroupSpecs"][0]["replica"] = 2

    with pytest.raises(jsonschema.ValidationError, match="'replica' was unexpected"):
        jsonschema.validate(wrong, schema)


def test_the_files_agree(containers: dict[str, dict[str, Any]]) -> None:
    """On the cluster's name, on what a worker reserves, on how many there are, and on the quota for all of them."""
    cluster = document("cluster.yaml", "RayCluster")
    [group] = cluster["spec"]["workerGroupSpecs"]
    serve, node = options(containers["api"]["command"]), options(containers["worker"]["command"])
    given = {one["name"]: one.get("value") for one in containers["api"]["env"]}
    address = f"{cluster['metadata']['name']}-head-svc:{options(containers['head']['command'])['port']}"

    addresses = {options(containers[name]["command"])["address"] for name in ("worker", "ray")}
    assert addresses == {address} == {given["RAY_ADDRESS"]}
    assert serve["ray-cpus"] == node["num-cpus"] == containers["worker"]["resources"]["requests"]["cpu"]
    assert serve["ray-workers"].partition("-")[2] == str(group["replicas"]) == str(group["maxReplicas"])
    queue = document("kueue.yaml", "LocalQueue")["metadata"]["name"]
    assert cluster["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == queue

    [resources] = document("kueue.yaml", "ClusterQueue")["spec"]["resourceGroups"]
    quota = {one["name"]: one["nominalQuota"] for one in resources["flavors"][0]["resources"]}
    head, worker = (containers[name]["resources"]["requests"] for name in ("head", "worker"))
    needed = {name: _number(head[name]) + group["replicas"] * _number(worker[name]) for name in ("cpu", "memory")}
    assert {name: _number(amount) for name, amount in quota.items()} == needed


def test_all_nodes_need_the_token(containers: dict[str, dict[str, Any]]) -> None:
    """From the secret; the version of Ray is the one that is installed."""
    for name in ("ray", "head", "worker"):
        [mode, token] = containers[name]["env"]
        assert (mode["name"], mode["value"]) == ("RAY_AUTH_MODE", "token")
        assert token["valueFrom"]["secretKeyRef"] == {"name": "tunery", "key": "RAY_AUTH_TOKEN"}
    pinned = re.findall(r"^ray==(.+)$", (DEPLOY.parent / "constraints.txt").read_text(), re.MULTILINE)

    assert [document("cluster.yaml", "RayCluster")["spec"]["rayVersion"]] == pinned


def _number(amount: str) -> float:
    return float(amount.removesuffix("Gi"))


@contextmanager
def ray_node(command: list[str], ports: dict[str, str], settings: dict[str, str], home: Path) -> Iterator[None]:
    """Run the command of a container with a Ray node; all nodes are on this machine, so each has ports of its own."""
    told = [_on_this_machine(part, ports) for part in command[1:]]
    program = [sys.executable, "-m", "ray.scripts.scripts", *told]
    environment = {**os.environ, **settings, "TUNERY_HOME": str(home)}
    environment.pop("RAY_ADDRESS", None)
    with (home.parent / f"{home.name}.ray").open("wb+") as output:
        node = subprocess.Popen(program, env=environment, stdout=output, stderr=output)
        try:
            wait_until(lambda: b"Ray runtime started" in Path(output.name).read_bytes() or node.poll() is not None)
            assert node.poll() is None, Path(output.name).read_text(errors="replace")
            yield
        finally:
            node.terminate()
            node.wait(60)


def _on_this_machine(part: str, ports: dict[str, str]) -> str:
    part = part.replace("tunery-head-svc:6379", f"127.0.0.1:{ports['6379']}").replace("=6379", f"={ports['6379']}")
    return f"--node-manager-port={free_port()}" if part.startswith("--node-manager-port") else part


@pytest.mark.full  # 60 s: `make scale`
def test_the_commands_of_the_containers_work_together(
    containers: dict[str, dict[str, Any]], database_url: str, tmp_path: Path
) -> None:
    """A head and a worker node, a server with a node beside it: the server has a model tuned on the cluster."""
    base = make_folder(tmp_path / "base", max_position_embeddings=512)
    ports = {"6379": str(free_port())}
    team = {
        "TUNERY_DATABASE_URL": database_url,
        "TUNERY_STORE_URL": (tmp_path / "store").as_uri(),
        "TUNERY_BASE": "tiny",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": "a-token-of-the-tests-of-at-least-32-letters",
        "HF_HUB_OFFLINE": "1",
    }
    homes = {name: tmp_path / name for name in ("head", "worker", "ray", "api")}
    for name in ("worker", "ray"):
        _with_base(homes[name], base)
    serve = [part.replace("$(TUNERY_HOST)", HOST) for part in containers["api"]["command"]]
    asks = {**team, "RAY_ADDRESS": f"127.0.0.1:{ports['6379']}"}
    subprocess.run(
        [sys.executable, "-m", "tunery", "users", "password", "local"], check=True, capture_output=True, text=True,
        env={**os.environ, **team, "TUNERY_HOME": str(tmp_path / "setup")}, input="a long pass phrase of the owner\n",
    )  # fmt: skip

    with (
        ray_node(containers["head"]["command"], ports, team, homes["head"]),
        ray_node(containers["worker"]["command"], ports, team, homes["worker"]),
        ray_node(containers["ray"]["command"], ports, team, homes["ray"]),
        container([*serve, "--port=0"], asks, homes["api"], base) as server,
    ):
        said(server, "Serving at")
        with client_of(port_of(server.pid), homes["api"]) as client:
            Server(homes["api"], "").tune(client, "numbers")

    with Library.open(homes["api"], Shared(database_url, team["TUNERY_STORE_URL"])) as library:
        assert library.find("numbers").state == "ACTIVE"
    assert list(homes["worker"].glob("ray/worker-*/models/*/1"))


def _with_base(home: Path, base: Path) -> None:
    from tunery.engine.catalog import Catalog

    Catalog(home).add(str(base), "tiny")
