"""Our containers, and with `restricted` the user's too, pass the "restricted" Pod Security Standard, field by field."""

from dataclasses import replace

import pytest
from kubernetes.client import ApiClient
from kubernetes.client import models as k8s

from airflow_pachy.pods.parts import add_to_pod, build_pod_parts
from airflow_pachy.pods.request import PodRequest

REQUEST = PodRequest("helper:1", "s3://b/p", "jobs/j/plan/0001-000000.json", "0001-A", credentials_secret="s3")
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}


def violations(pod):
    """What the restricted profile (v1.34, for Linux) objects to."""
    spec = ApiClient().sanitize_for_serialization(pod)["spec"]
    wide = spec.get("securityContext", {})
    found = [f"pod: {field}" for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    found += [f"volume {one['name']}" for one in spec.get("volumes", []) if not (set(one) - {"name"}) <= VOLUMES]
    for one in [*spec.get("initContainers", []), *spec["containers"]]:
        own = one.get("securityContext", {})

        def effective(field, own=own):
            return own.get(field, wide.get(field))

        drops = own.get("capabilities", {}).get("drop", [])
        adds = own.get("capabilities", {}).get("add", [])
        seccomp = (effective("seccompProfile") or {}).get("type")
        checks = {
            "privileged": not own.get("privileged"),
            "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
            "capabilities.drop": "ALL" in drops,
            "capabilities.add": set(adds) <= {"NET_BIND_SERVICE"},
            "runAsNonRoot": effective("runAsNonRoot") is True,
            "runAsUser": effective("runAsUser") != 0,
            "seccompProfile": seccomp in ("RuntimeDefault", "Localhost"),
            "procMount": own.get("procMount", "Default") == "Default",
            "seLinuxOptions": set(own.get("seLinuxOptions", {})) <= {"type", "level"},
            "hostPorts": not any(port.get("hostPort") for port in one.get("ports", [])),
            "probes": all(
                not one.get(probe, {}).get(kind, {}).get("host")
                for probe in ("startupProbe", "livenessProbe", "readinessProbe")
                for kind in ("httpGet", "tcpSocket")
            ),
        }
        found += [f"{one['name']}: {name}" for name, passed in checks.items() if not passed]
    return found


def build(request=REQUEST, **base):
    container = k8s.V1Container(name="base", image="user:1", **base)
    return add_to_pod(k8s.V1Pod(spec=k8s.V1PodSpec(containers=[container])), build_pod_parts(request))


@pytest.mark.parametrize("sidecar", [False, True])
@pytest.mark.parametrize("user", [10001, None])
def test_a_restricted_pod_has_no_violation(sidecar, user):
    assert violations(build(replace(REQUEST, restricted=True, sidecar=sidecar, helper_user=user))) == []


def test_otherwise_only_the_users_container_has_any():
    assert {one.partition(":")[0] for one in violations(build())} == {"base"}


def test_the_checker_finds_what_is_wrong():
    bad = build(security_context=k8s.V1SecurityContext(privileged=True, run_as_user=0))
    bad.spec.volumes.append(k8s.V1Volume(name="host", host_path=k8s.V1HostPathVolumeSource(path="/")))
    bad.spec.host_network = True
    assert {"pod: hostNetwork", "volume host", "base: privileged", "base: runAsUser"} <= set(violations(bad))
