"""The texts that a value in a template may become, with references followed across all templates of a stage.

CloudFormation knows the value only at deploy. Here, both sides of an ``Fn::If`` and every item of an ``Fn::Select`` count:
rather too many texts than too few. What the stage does not hold (an import of another app's export, a parameter without
a value) stays a reference that leads nowhere.
"""

import itertools
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

ACCOUNT: Final = "<AccountId>"
"""Stands in a text for the account that the template is deployed to, if that is known only at deploy."""

REGION: Final = "<Region>"
"""Likewise for a region."""

CUSTOM: Final = ("Custom::", "AWS::CloudFormation::CustomResource")
"""The beginnings of the types of custom resources, whose own code decides what they return."""

# If a value may become more texts than this, its parts are listed one by one instead of in every combination.
_MAX_TEXTS: Final = 256

_REFERENCE: Final = re.compile(r"\$\{[^{}]*\}")
_IN_SUB: Final = re.compile(r"\$\{([^!{}][^{}]*)\}")
_SSM: Final = re.compile(r"\{\{resolve:ssm:([^${}]*)\}\}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Template:
    """A template, and where it is deployed.

    Attributes:
        file: Name of the file; unique in a stage.
        document: Its content.
        stack: The stack's name; "" for a nested stack, whose name CloudFormation makes up.
        region: The stack's region; None if it is known only at deploy.
        account: The stack's account; None if it is known only at deploy.
        parent: The resource that makes a nested stack, in another template.
    """

    file: str
    document: Mapping[str, Any]
    stack: str = ""
    region: str | None = None
    account: str | None = None
    parent: "Place | None" = None

    def part(self, name: str) -> Mapping[str, Any]:
        """Return the well-formed entries of a section, such as ``Outputs``, by name."""
        section = self.document.get(name)
        return {key: one for key, one in section.items() if isinstance(one, dict)} if isinstance(section, dict) else {}


Stage = Sequence[Template]


class Place(NamedTuple):
    """A resource in a template."""

    template: Template
    name: str

    @property
    def type(self) -> str:
        """Its type; "" if there is no such resource."""
        return str(self._resource.get("Type", ""))

    @property
    def properties(self) -> Mapping[str, Any]:
        """Its properties; empty if they are not well-formed."""
        properties = self._resource.get("Properties")
        return properties if isinstance(properties, dict) else {}

    @property
    def reference(self) -> str:
        """How texts refer to it, ``${file#name}``."""
        return f"${{{self.template.file}#{self.name}}}"

    @property
    def label(self) -> str:
        """Its name for messages: the construct path, or logical id and file."""
        metadata = self._resource.get("Metadata")
        path = metadata.get("aws:cdk:path") if isinstance(metadata, dict) else None
        return str(path).removesuffix("/Resource") if path else f"{self.name} ({self.template.file})"

    @property
    def _resource(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.template.part("Resources").get(self.name, {})
        return found


def texts(value: Any, here: Template, stage: Stage) -> set[str]:
    """Return every text that a value may become.

    The texts hold a resource's ``Place.reference`` in place of any of its attributes.

    Args:
        value: Any part of a template.
        here: The template in which it stands.
        stage: All templates.
    """
    return _texts(value, _At(here, stage))


def references(text: str) -> list[str]:
    """Return the references in a text: to resources, and to what the stage does not hold."""
    return _REFERENCE.findall(text)


def leads_to(value: Any, here: Template, stage: Stage) -> set[str]:
    """Return all references in all texts that a value may become."""
    return {reference for text in texts(value, here, stage) for reference in references(text)}


def place_of(reference: str, stage: Stage) -> Place | None:
    """Return the resource behind a reference; None if the stage does not hold it."""
    file, _, name = reference[2:-1].partition("#")
    found = (Place(template, name) for template in stage if template.file == file)
    return next((place for place in found if place.type), None)


def places(stage: Stage, *types: str) -> Iterator[Place]:
    """Yield the resources of these types."""
    for template in stage:
        for name, resource in template.part("Resources").items():
            if resource.get("Type") in types:
                yield Place(template, name)


def having(key: str, value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every object in a value that has this key, on both sides of each ``Fn::If``."""
    if isinstance(value, dict):
        if key in value:
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from having(key, one)


def same_region(one: str | None, other: str | None) -> bool:
    """Say whether two regions may be the same; a region that is known only at deploy may be any."""
    return one == other or not {one, other}.isdisjoint({None, REGION})


class _At(NamedTuple):
    """Where a value stands, and the steps that are being followed already, so that circles end."""

    here: Template
    stage: Stage
    seen: frozenset[str] = frozenset()

    def follow(self, step: str) -> "_At | None":
        return None if step in self.seen else self._replace(seen=self.seen | {step})


def _texts(value: Any, at: _At) -> set[str]:
    match value:
        case str():
            return _with_parameters(value, at)
        case bool():
            return set()
        case int() | float():
            return {str(value)}
        case list():
            return _union(_texts(one, at) for one in value)
        case {"Ref": str(name)}:
            return _referred(name, "", at)
        case {"Fn::GetAtt": str(dotted)}:
            return _referred(dotted.partition(".")[0], dotted.partition(".")[2], at)
        case {"Fn::GetAtt": [str(name), str(attribute)]}:
            return _referred(name, attribute, at)
        case dict():
            return _computed(value, at)
    return set()


def _computed(value: Mapping[str, Any], at: _At) -> set[str]:
    """Return what a CloudFormation function may become; for any other object, the texts in it."""
    match value:
        case {"Fn::Join": [str(between), [*parts]]}:
            return _union(_with_parameters(text, at) for text in _combined([_texts(one, at) for one in parts], between))
        case {"Fn::Sub": str(text)}:
            return _substituted(text, {}, at)
        case {"Fn::Sub": [str(text), dict(variables)]}:
            return _substituted(text, variables, at)
        case {"Fn::ImportValue": exported}:
            return _union(_imported(name, at) for name in _texts(exported, at))
        case {"Fn::GetStackOutput": dict(wanted)}:
            return _output(wanted, at)
        # Skipped, as not part of the result: a condition's name, an index, a separator, keys.
        case {"Fn::If": [_, *rest]} | {"Fn::Select": [_, *rest]} | {"Fn::Split": [_, *rest]}:
            return _texts(rest, at)
        case {"Fn::FindInMap": [str(name), _, _, *default]}:
            return _texts([at.here.part("Mappings").get(name), *default], at)
    return _texts(list(value.values()), at)


def _union(sets: Iterable[set[str]]) -> set[str]:
    return set().union(*sets)


def _combined(options: Sequence[set[str]], between: str = "") -> set[str]:
    """Return every text that the joined parts may make; a part without any text (a circle, no value) is left out."""
    if math.prod(len(one) or 1 for one in options) > _MAX_TEXTS:
        return _union(options)
    return {between.join(choice) for choice in itertools.product(*(one or {""} for one in options))}


def _substituted(text: str, variables: Mapping[str, Any], at: _At) -> set[str]:
    def part(name: str) -> set[str]:
        return _texts(variables.get(name, {"Fn::GetAtt": name} if "." in name else {"Ref": name}), at)

    pieces = enumerate(_IN_SUB.split(text))
    combined = _combined([part(one) if number % 2 else {one.replace("${!", "${")} for number, one in pieces])
    return _union(_with_parameters(one, at) for one in combined)


def _with_parameters(text: str, at: _At) -> set[str]:
    """Return a text with its ``{{resolve:ssm:…}}`` replaced."""
    pieces = enumerate(_SSM.split(text))
    return _combined([_stored(one, at) if number % 2 else {one} for number, one in pieces])


def _referred(name: str, attribute: str, at: _At) -> set[str]:
    """Return what a ``Ref`` or ``Fn::GetAtt`` may become."""
    here = at.here
    if name.startswith("AWS::"):
        return _pseudo(name, here)
    inside = at.follow(f"{here.file} {name}.{attribute}")
    if inside is None:
        return set()
    place = Place(here, name)
    found: set[str] = set()
    if name in here.part("Parameters"):
        found = _parameter(place, inside)
    elif place.type == "AWS::CloudFormation::Stack":
        output = attribute.removeprefix("Outputs.")
        children = [one for one in at.stage if one.parent == place]
        found = _union(_value_of(one.part("Outputs").get(output, {}), one, inside) for one in children)
    elif place.type == "AWS::SSM::Parameter":
        found = _value_of(place.properties, here, inside)
    elif place.type == "Custom::CrossRegionExportReader":
        found = _union(_texts(one["imports"].get(attribute), inside) for one in having("imports", place.properties))
    elif place.type.startswith(CUSTOM):
        given = [value for key, value in place.properties.items() if key != "ServiceToken"]
        found = _texts(given, inside) | {place.reference}
    return found or {place.reference}


def _pseudo(name: str, here: Template) -> set[str]:
    known = {
        "AWS::AccountId": here.account or ACCOUNT,
        "AWS::Region": here.region or REGION,
        "AWS::StackName": here.stack or "<StackName>",
        # Lambda@Edge exists in no other partition.
        "AWS::Partition": "aws",
        "AWS::URLSuffix": "amazonaws.com",
    }
    # AWS::NoValue becomes "": with no text at all, only the other side of the condition would count.
    return {known.get(name, "")}


def _value_of(holder: Mapping[str, Any], template: Template, at: _At) -> set[str]:
    return _texts(holder.get("Value"), at._replace(here=template))


def _parameter(place: Place, at: _At) -> set[str]:
    """Return what a template's parameter may be: what the parent stack passes, or the default."""
    here = place.template
    parameter = here.part("Parameters")[place.name]
    found = _texts(parameter.get("Default"), at)
    if here.parent is not None:
        passed = here.parent.properties.get("Parameters")
        if isinstance(passed, dict) and place.name in passed:
            found = _texts(passed[place.name], at._replace(here=here.parent.template))
    if str(parameter.get("Type")).startswith("AWS::SSM::Parameter::Value"):
        return _union(_stored(name, at) for name in found)
    return found


def _stored(name: str, at: _At) -> set[str]:
    """Return what an SSM parameter may hold."""
    inside = at.follow(f"ssm {name}")
    found: set[str] = set()
    if inside is not None:
        for place in places(at.stage, "AWS::SSM::Parameter", "Custom::CrossRegionExportWriter"):
            there = inside._replace(here=place.template)
            if place.type == "AWS::SSM::Parameter":
                names = _texts(place.properties.get("Name"), there)
                written, region = dict.fromkeys(names, place.properties.get("Value")), place.template.region
            else:
                writer = place.properties.get("WriterProps", {})
                written, region = writer.get("exports", {}), writer.get("region")
            for key, value in written.items():
                if _plain(key) == _plain(name) and same_region(region, at.here.region):
                    found |= _texts(value, there)
    return found or {f"${{ssm {name}}}"}


def _plain(name: str) -> str:
    """Return an SSM parameter's name without the ARN around it, the version, and the slash that ARNs do not show."""
    name = name.partition(":parameter/")[2] if name.startswith("arn:") else name
    return name.partition(":")[0].removeprefix("/")


def _imported(name: str, at: _At) -> set[str]:
    """Return what other stacks export under this name."""
    inside = at.follow(f"import {name}")
    found: set[str] = set()
    if inside is not None:
        for template in at.stage:
            if same_region(template.region, at.here.region):
                for output in template.part("Outputs").values():
                    if name in _texts(output.get("Export"), inside._replace(here=template)):
                        found |= _value_of(output, template, inside)
    return found or {f"${{import {name}}}"}


def _output(wanted: Mapping[str, Any], at: _At) -> set[str]:
    """Return what an output of another stack holds."""
    stacks, names, regions = (_texts(wanted.get(key), at) for key in ("StackName", "OutputName", "Region"))
    inside = at.follow(f"output {sorted(stacks)} {sorted(names)} {sorted(regions)}")
    found: set[str] = set()
    if inside is not None:
        for template in at.stage:
            near = any(same_region(template.region, region) for region in regions or [at.here.region])
            for name in names if near and template.stack in stacks else ():
                found |= _value_of(template.part("Outputs").get(name, {}), template, inside)
    return found or {f"${{output {stack}.{name}}}" for stack in stacks for name in names}


def read_templates(paths: Iterable[str]) -> list[Template]:
    """Read the templates of a stage, and those of its nested stacks, which CDK does not list.

    Args:
        paths: The stacks' templates, in a cloud assembly. Its other files say where each stack is deployed, and which file
            a nested stack's URL means.
    """
    found = []
    for path in map(Path, paths):
        artifacts = json.loads((path.parent / "manifest.json").read_bytes())["artifacts"]
        stacks = ((name, one) for name, one in artifacts.items() if one["type"] == "aws:cloudformation:stack")
        name, stack = next((name, one) for name, one in stacks if one["properties"]["templateFile"] == path.name)
        account, region = stack["environment"].removeprefix("aws://").split("/")
        top = Template(
            file=path.name,
            document=json.loads(path.read_bytes()),
            stack=stack["properties"].get("stackName", name),
            region=None if region == "unknown-region" else region,
            account=None if account == "unknown-account" else account,
        )
        found += [top, *_nested(top, path.parent, _template_assets(path))]
    return found


def _template_assets(path: Path) -> Mapping[str, str]:
    """Return the files of nested stacks' templates by the object names under which they are uploaded."""
    manifest = path.with_name(path.name.replace(".template.json", ".assets.json"))
    files = json.loads(manifest.read_bytes())["files"].values() if manifest.exists() else []
    return {
        destination["objectKey"].rpartition("/")[2]: one["source"]["path"]
        for one in files
        if one["source"].get("path", "").endswith(".template.json")
        for destination in one["destinations"].values()
    }


def _nested(parent: Template, folder: Path, assets: Mapping[str, str]) -> Iterator[Template]:
    for place in places([parent], "AWS::CloudFormation::Stack"):
        for address in texts(place.properties.get("TemplateURL"), parent, [parent]):
            if file := assets.get(address.rpartition("/")[2]):
                child = Template(
                    file=file,
                    document=json.loads((folder / file).read_bytes()),
                    region=parent.region,
                    account=parent.account,
                    parent=place,
                )
                yield child
                yield from _nested(child, folder, assets)
