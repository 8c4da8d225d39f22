"""A broken estate file gets one error with every problem at its line, and nothing else. Each case is a small file and the one problem in it."""

from typing import NamedTuple

import jsonschema
import pytest
import yaml

from stella_pipelines.environments.estate import parse_estate, require_valid
from stella_pipelines.environments.model import Component, Environment, Estate, FreezeWindow
from stella_pipelines.environments.problems import PROBLEMS_SHOWN_MAX, InvalidEstate
from stella_pipelines.environments.schema import json_schema

DEV = "environments: {dev: {gates: none}}\n"
SSH_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHT2i8eQ7m1r0n2cD5cKfJx9gO3vVb6sZ1yLwR4pNqEk"


class Case(NamedTuple):
    """A file, and where and how its only problem is reported."""

    text: str
    place: str
    path: str
    message: str


def gate(config: str) -> str:
    """A file whose only gate is the one given, in line 1."""
    return f"environments: {{dev: {{gates: {{g: {config}}}}}}}\n"


# Wrong in themselves: the JSON Schema refuses these too, so an editor shows them while they are typed.
IN_FORM = {
    "unknown section": Case(DEV + "target: {}\n", "2:1", "target", "Did you mean 'targets'?"),
    "no environments": Case("components: {}\n", "1:1", "", "'environments' is required"),
    "unknown key": Case(
        "environments:\n  dev:\n    gates: none\n    promotes_form: []\n", "4:5", "environments.dev.promotes_form", "Did you mean 'promotes_from'?"
    ),
    "unknown nested key": Case(
        "environments: {dev: {gates: none, strategy: {kind: rolling, pause: 3}}}", "1:61", "environments.dev.strategy.pause", "Did you mean 'pause_s'?"
    ),
    "no gates": Case("environments: {dev: {}}", "1:21", "environments.dev", "'gates' is required"),
    "empty gates": Case("environments: {dev: {gates: {}}}", "1:29", "environments.dev.gates", "or the word none, not empty"),
    "gates of nothing": Case("environments: {dev: {gates: }}", "1:29", "environments.dev.gates", "or the word none, not nothing"),
    "gates in a list": Case("environments: {dev: {gates: [{kind: freeze_window}]}}", "1:29", "environments.dev.gates", "not a list"),
    "gate without a kind": Case(gate("{}"), "1:33", "environments.dev.gates.g", "'kind' is required."),
    "gate of an unknown kind": Case(gate("{kind: aproval}"), "1:40", "environments.dev.gates.g.kind", "Did you mean 'approval'?"),
    "unknown key of a gate": Case(gate("{kind: security, max_hihg: 1}"), "1:50", "environments.dev.gates.g.max_hihg", "Did you mean 'max_high'?"),
    "gate without its key": Case(gate("{kind: policy}"), "1:30", "environments.dev.gates.g.policy", "is required"),
    "approval without groups": Case(gate("{kind: approval}"), "1:33", "environments.dev.gates.g", "'groups' is required"),
    "requester may approve": Case(
        gate("{kind: approval, requester_excluded: false, groups: {g: {members: [ada]}}}"),
        "1:70",
        "environments.dev.gates.g.requester_excluded",
        "must be true",
    ),
    "bad name": Case("environments: {Dev: {gates: none}}", "1:16", "environments.Dev", "the name must begin with a lower-case letter"),
    "name said twice": Case("environments: {dev: {name: dev, gates: none}}", "1:22", "environments.dev.name", "is said by the key above"),
    "word for a flag": Case("environments: {dev: {gates: none, is_production: maybe}}", "1:50", "environments.dev.is_production", "must be true or false"),
    "text for a number": Case(
        'environments: {dev: {gates: none, deployment_timeout_s: "60"}}', "1:57", "environments.dev.deployment_timeout_s", "must be a number, not the text '60'"
    ),
    "number for text": Case("environments: {dev: {gates: none, variables: {A: 1}}}", "1:50", "environments.dev.variables.A", "write it in quotes"),
    "text for a list": Case("environments: {dev: {gates: none, components: web}}", "1:47", "environments.dev.components", "must be a list"),
    "percentage over 100": Case(
        "environments: {dev: {gates: none, strategy: {kind: rolling, batch: 101%}}}", "1:68", "environments.dev.strategy.batch", "must be a count such as 2"
    ),
    "batch of nobody": Case("environments: {dev: {gates: none, strategy: {kind: rolling, batch: 0}}}", "1:68", "environments.dev.strategy.batch", "must be"),
    "unknown strategy": Case("environments: {dev: {gates: none, strategy: {kind: rollin}}}", "1:45", "environments.dev.strategy", "'kind' must be one of"),
    "negative time": Case(
        "environments: {dev: {gates: none, deployment_timeout_s: -1}}", "1:57", "environments.dev.deployment_timeout_s", "greater than or equal to 0"
    ),
    "shards of nobody": Case(
        "environments: {dev: {gates: none, targets_per_shard: 0}}", "1:54", "environments.dev.targets_per_shard", "greater than or equal to 1"
    ),
    "shards in percent": Case(
        'environments: {dev: {gates: none, targets_per_shard: "10%"}}', "1:54", "environments.dev.targets_per_shard", "must be a whole number"
    ),
    "port out of range": Case(
        DEV + "components: {web: {repository: r.example/web, ports: [{container: 0, host: 80}]}}", "2:67", "components.web.ports[0].container", "must be"
    ),
    "secret's value": Case(
        DEV + "components: {web: {repository: r.example/web, secrets: {KEY: hunter2}}}", "2:62", "components.web.secrets.KEY", "never what it is"
    ),
    "health without a port": Case(
        DEV + "components: {web: {repository: r.example/web, health: {kind: http}}}", "2:55", "components.web.health", "needs a port"
    ),
    "target without access": Case(DEV + "targets:\n  t: {environment: dev}\n", "3:6", "targets.t", "exactly one of the sections docker and process"),
    "target with two": Case(
        DEV + "targets:\n  t: {environment: dev, docker: {endpoint: unix:///s}, process: {directory: /d}}\n", "3:6", "targets.t", "exactly one of the sections"
    ),
    "target that says its kind": Case(
        DEV + "targets:\n  t: {environment: dev, kind: docker, docker: {endpoint: unix:///s}}\n", "3:25", "targets.t.kind", "is said by the section given"
    ),
    "open engine socket": Case(
        DEV + "targets: {t: {environment: dev, docker: {endpoint: 'tcp://h:2375'}}}", "2:41", "targets.t.docker", "a tcp:// engine needs 'tls'"
    ),
    "host key missing": Case(
        DEV + "targets: {t: {environment: dev, docker: {endpoint: unix:///s, ssh: {host: h, username: u, private_key: env://K}}}}",
        "2:63",
        "targets.t.docker.ssh.host_key",
        "is required",
    ),
    "window without an end": Case(
        DEV + "freeze_windows: {w: {reason: r, starts_at: 2026-01-01T00:00:00Z}}", "2:21", "freeze_windows.w", "a one-off window has 'ends_at'"
    ),
    "window with two ends": Case(
        DEV + "freeze_windows: {w: {reason: r, starts_at: 2026-01-01T00:00:00Z, ends_at: 2026-01-02T00:00:00Z, rrule: FREQ=DAILY, lasts_s: 60}}",
        "2:21",
        "freeze_windows.w",
        "a recurring window has 'rrule' and 'lasts_s'",
    ),
    "time without a zone": Case(
        DEV + "freeze_windows: {w: {reason: r, starts_at: 2026-01-01T00:00:00, ends_at: 2026-01-02T00:00:00Z}}",
        "2:44",
        "freeze_windows.w.starts_at",
        "needs a zone",
    ),
    "date for a time": Case(
        DEV + "freeze_windows: {w: {reason: r, starts_at: 2026-01-01, ends_at: 2026-01-02T00:00:00Z}}",
        "2:44",
        "freeze_windows.w.starts_at",
        "a time with a zone",
    ),
    "section that is a list": Case(DEV + "targets: [{name: t}]\n", "2:10", "targets", "must be a mapping"),
    "item that is text": Case(DEV + "targets: {t: docker}\n", "2:14", "targets.t", "must be a mapping (key: value), not the text 'docker'"),
}


def approval(groups: str) -> str:
    """A file whose only gate asks these groups."""
    return gate(f"{{kind: approval, groups: {groups}}}")


def ssh(host_key: str, *names: str) -> str:
    """A file with one target per name, all on the same socket of the same host."""
    lines = "".join(
        f"  {name}: {{environment: dev, docker: {{endpoint: unix:///s, ssh: {{host: H, username: {name}, host_key: {host_key}, private_key: env://K}}}}}}\n"
        for name in names
    )
    return f"{DEV}targets:\n{lines}"


# Right in themselves, wrong in the whole: only the parser can see these.
IN_THE_WHOLE = {
    "duplicate key": Case(
        "environments:\n  dev: {gates: none}\n  dev: {gates: none}\n", "3:3", "environments.dev", "stands here twice; the first is in line 2"
    ),
    "unknown upstream": Case("environments: {dev: {gates: none, promotes_from: [dve]}}", "1:51", "environments.dev.promotes_from[0]", "Did you mean 'dev'?"),
    "circle": Case(
        "environments:\n  a: {gates: none, promotes_from: [b]}\n  b: {gates: none, promotes_from: [a]}\n",
        "3:35",
        "environments.b.promotes_from",
        "the promotion path goes in a circle: a → b → a",
    ),
    "circle of one": Case("environments: {a: {gates: none, promotes_from: [a]}}", "1:48", "environments.a.promotes_from", "a → a"),
    "unknown component": Case("environments: {dev: {gates: none, components: [web]}}", "1:48", "environments.dev.components[0]", "there is no component 'web'"),
    "twice in a list": Case(
        "environments: {a: {gates: none}, b: {gates: none, promotes_from: [a, a]}}", "1:70", "environments.b.promotes_from[1]", "is in this list twice"
    ),
    "unknown policy": Case(gate("{kind: policy, policy: p}"), "1:56", "environments.dev.gates.g.policy", "there is no policy 'p'"),
    "target of nowhere": Case(
        DEV + "targets: {t: {environment: prod, process: {directory: /d}}}", "2:28", "targets.t.environment", "there is no environment 'prod'"
    ),
    "window of nowhere": Case(
        DEV + "freeze_windows: {w: {reason: r, environments: [prod], starts_at: 2026-01-01T00:00:00Z, ends_at: 2026-01-02T00:00:00Z}}",
        "2:48",
        "freeze_windows.w.environments[0]",
        "there is no environment 'prod'",
    ),
    "window without a gate": Case(
        DEV + "freeze_windows: {w: {reason: r, environments: [dev], starts_at: 2026-01-01T00:00:00Z, ends_at: 2026-01-02T00:00:00Z}}",
        "2:48",
        "freeze_windows.w.environments[0]",
        "this window would close nothing",
    ),
    "unknown time zone": Case(
        DEV + "freeze_windows: {w: {reason: r, starts_at: 2026-01-01T00:00:00Z, rrule: FREQ=DAILY, lasts_s: 60, time_zone: Europe/Berln}}",
        "2:109",
        "freeze_windows.w.time_zone",
        "Europe/Berlin",
    ),
    "rule that never happens": Case(
        DEV + "freeze_windows: {w: {reason: r, starts_at: 2026-01-01T00:00:00Z, rrule: FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30, lasts_s: 60}}",
        "2:73",
        "freeze_windows.w.rrule",
        "never happens",
    ),
    "CEL": Case(DEV + "policies: {p: {cel: release.name ==}}", "2:21", "policies.p.cel", "line 1, column 16 of the expression"),
    "empty CEL": Case(DEV + "policies: {p: {cel: ''}}", "2:21", "policies.p.cel", "an empty policy allows nothing"),
    "too few people": Case(
        approval("{g: {required: 2, members: [ada]}}"), "1:73", "environments.dev.gates.g.groups.g.required", "2 must approve, and the group has 1"
    ),
    "nobody in a group": Case(approval("{g: {members: []}}"), "1:59", "environments.dev.gates.g.groups.g.required", "1 must approve, and the group has 0"),
    "same people in two groups": Case(
        approval("{a: {members: [ada]}, b: {members: [ada]}}"), "1:58", "environments.dev.gates.g.groups", "2 seats for 1 different people"
    ),
    "nobody's name": Case(approval("{g: {members: ['ada lovelace']}}"), "1:73", "environments.dev.gates.g.groups.g.members[0]", "cannot be anybody's name"),
    "no previous environment": Case(gate("{kind: previous_environment}"), "1:33", "environments.dev.gates.g", "there is no previous environment"),
    "one engine twice": Case(
        DEV
        + "targets:\n  a: {environment: dev, docker: {endpoint: unix:///run/d.sock}}\n  b: {environment: dev, docker: {endpoint: unix:///run//x/../d.sock}}\n",
        "4:6",
        "targets.b",
        "is the same place as the target 'a'",
    ),
    "one host twice": Case(ssh(SSH_KEY, "a", "b"), "4:6", "targets.b", "docker unix:///s on h:22"),
    "host key of nothing": Case(ssh("SHA256:abc", "a"), "3:93", "targets.a.docker.ssh.host_key", "public key line"),
    "plain HTTP to somebody else": Case(DEV + "registries: {r.example: {plain_http: true}}", "2:38", 'registries["r.example"].plain_http', "on this machine"),
    "layout without a folder": Case(DEV + "registries: {r.example: {kind: layout}}", "2:25", 'registries["r.example"]', "needs 'path'"),
    "user without a password": Case(DEV + "registries: {r.example: {username: u}}", "2:25", 'registries["r.example"]', "go together"),
    "registry without a dot": Case(DEV + "registries: {hub: {}}", "2:19", "registries.hub", "named by its host"),
    "repository with a tag": Case(DEV + "components: {web: {repository: r.example/web:v1}}", "2:32", "components.web.repository", "write r.example/web"),
    "repository without a host": Case(DEV + "components: {web: {repository: web}}", "2:32", "components.web.repository", "registry host"),
    "port published twice": Case(
        DEV + "components: {web: {repository: r.example/web, ports: [{container: 1, host: 80}, {container: 2, host: 80}]}}",
        "2:102",
        "components.web.ports[1].host",
        "port 80 is published twice",
    ),
    "variable and secret": Case(
        DEV + "components: {web: {repository: r.example/web, variables: {A: x}, secrets: {A: env://A}}}",
        "2:79",
        "components.web.secrets.A",
        "a variable and a secret",
    ),
}
EVERY = {**IN_FORM, **IN_THE_WHOLE}


@pytest.mark.parametrize("case", EVERY.values(), ids=EVERY.keys())
def test_one_problem_is_found_at_its_place(case: Case) -> None:
    with pytest.raises(InvalidEstate) as caught:
        parse_estate(case.text, "estate.yaml")
    (problem,) = caught.value.problems
    assert (f"{problem.line}:{problem.column}", problem.path) == (case.place, case.path)
    assert case.message in problem.message
    assert f"estate.yaml:{case.place}: " in str(caught.value)


@pytest.mark.parametrize("case", IN_FORM.values(), ids=IN_FORM.keys())
def test_the_schema_refuses_what_is_wrong_in_itself(case: Case) -> None:
    assert list(jsonschema.Draft202012Validator(json_schema()).iter_errors(as_plain_data(case.text))) != []


def as_plain_data(text: str) -> object:
    """What an editor's YAML reader makes of a file: as ours, times stay text."""

    class Plain(yaml.SafeLoader):
        yaml_implicit_resolvers = {
            first: [(tag, pattern) for tag, pattern in rules if not tag.endswith(":timestamp")]
            for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

    return yaml.load(text, Plain)


def test_all_problems_are_listed_at_once_in_the_order_of_the_file() -> None:
    text = (
        "components:\n"
        "  web: {repository: nowhere, port: 1}\n"
        "environments:\n"
        "  prod:\n"
        "    promotes_from: [stagin]\n"
        "    gates: {a: {kind: aproval}, b: {kind: security, max_high: many}}\n"
        "    batch: 3\n"
        "  staging: {gates: none}\n"
        "targets:\n"
        "  t: {environment: prd, process: {}}\n"
    )
    with pytest.raises(InvalidEstate) as caught:
        parse_estate(text, "e.yaml")
    assert [(problem.line, problem.path) for problem in caught.value.problems] == [
        (2, "components.web.repository"),
        (2, "components.web.port"),
        (5, "environments.prod.promotes_from[0]"),
        (6, "environments.prod.gates.a.kind"),
        (6, "environments.prod.gates.b.max_high"),
        (7, "environments.prod.batch"),
        (10, "targets.t.process.directory"),
    ]


def test_a_long_list_is_cut_in_the_message_and_whole_in_the_error() -> None:
    text = DEV + "targets:\n" + "".join(f"  t{number}: {{}}\n" for number in range(PROBLEMS_SHOWN_MAX + 7))
    with pytest.raises(InvalidEstate) as caught:
        parse_estate(text, "estate.yaml")
    assert len(caught.value.problems) == PROBLEMS_SHOWN_MAX + 7
    assert "… and 7 more" in str(caught.value)
    assert str(caught.value).count("estate.yaml:") == PROBLEMS_SHOWN_MAX


def test_an_estate_made_by_a_program_obeys_the_same_rules() -> None:
    dev = Environment(name="dev", gates="none", promotes_from=("dve",))
    with pytest.raises(InvalidEstate) as caught:
        require_valid(Estate(environments=(dev,), components=(Component(name="web", repository="r.example/web"),) * 2))
    assert [problem.path for problem in caught.value.problems] == ["components.web", "environments.dev.promotes_from[0]"]


def test_an_estate_made_by_a_program_needs_gates_for_its_windows() -> None:
    window = FreezeWindow.model_validate(
        {"name": "w", "reason": "r", "environments": ("dev",), "starts_at": "2026-01-01T00:00:00Z", "ends_at": "2026-01-02T00:00:00Z"}
    )
    with pytest.raises(InvalidEstate, match="this window would close nothing"):
        require_valid(Estate(environments=(Environment(name="dev", gates="none"),), freeze_windows=(window,)))


def test_the_order_in_the_file_makes_no_difference() -> None:
    one = parse_estate("environments: {b: {gates: none, promotes_from: [c]}, a: {gates: none}, c: {gates: none}}", "estate.yaml")
    other = parse_estate("environments: {a: {gates: none}, c: {gates: none}, b: {gates: none, promotes_from: [c]}}", "estate.yaml")
    assert [environment.name for environment in one.environments] == ["a", "c", "b"]
    assert one.content_digest() == other.content_digest()
