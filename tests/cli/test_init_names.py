"""What a project, its module and its class are called, whatever its folder is called."""

from __future__ import annotations

import ast
import builtins
import json
import os
import re
from pathlib import Path

import pytest
from starters import PACKAGE, init, names_in, python

from lab_utils_mt._cli.naming import UnfitName, class_of, folder_of, module_of


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("", "names no folder"),
        ("a\nb", "names no folder"),
        ("a\x1b[31m", "names no folder"),
        ("oven.", "ends in a dot or a blank"),
        ("oven ", "ends in a dot or a blank"),
        ("CON", "the name of a device"),
        ("labs/nul", "the name of a device"),
        ("com1.txt", "the name of a device"),
        ("LPT³", "the name of a device"),
        ("a|b", "no | in a name"),
        ('a"b?', 'no " ? in a name'),
    ],
)
def test_a_name_that_one_system_does_not_take_is_refused_on_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, fault: str
) -> None:
    """Before anything is written."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnfitName, match=re.escape(fault)):
        folder_of(name)


def test_a_refused_name_is_one_line(tmp_path: Path) -> None:
    """And exit status 2."""
    status, output, errors = init("NUL", tmp_path)
    assert (status, output) == (2, "")
    assert errors == "init: NUL: on Windows this is the name of a device; choose another name\n"
    assert names_in(tmp_path) == set()


def test_the_top_of_all_folders_has_no_name() -> None:
    """So that no module can be named like it."""
    with pytest.raises(UnfitName, match="has no name"):
        folder_of(os.path.abspath(os.sep))  # noqa: PTH100


@pytest.mark.parametrize(
    ("folder", "module", "class_name"),
    [
        ("oven", "oven", "OvenDaemon"),  # the simulated instrument is an Oven
        ("Kühler Ofen 2", "kuehler_ofen_2", "KuehlerOfen2"),
        ("Ku\u0308hler", "kuehler", "Kuehler"),  # as macOS writes it
        ("Café-Łódź", "cafe_lodz", "CafeLodz"),
        ("LakeShore", "lake_shore", "LakeShore"),
        ("4k_stage", "lab_4k_stage", "Lab4kStage"),
        ("class", "lab_class", "LabClass"),
        ("match", "lab_match", "LabMatch"),
        ("random", "lab_random", "LabRandom"),
        ("logging", "lab_logging", "LabLogging"),
        ("msgspec", "lab_msgspec", "LabMsgspec"),
        ("lab_utils_mt", "lab_lab_utils_mt", "LabLabUtilsMt"),
        ("test", "lab_test_daemon", "LabTestDaemon"),
        ("test-rig", "lab_test_rig", "LabTestRig"),
        ("rig.test", "rig_test_daemon", "RigTestDaemon"),
        ("conftest", "lab_conftest", "LabConftest"),
        ("server", "server", "ServerDaemon"),
        ("Exception", "exception", "ExceptionDaemon"),
        ("send", "send", "Send"),
        ("status", "status", "Status"),
        ("温度", "lab_daemon", "LabDaemon"),
        ("x" * 200, "x" * 40, "X" + "x" * 39),
        ("%h $HOME 'n'", "h_home_n", "HHomeN"),
    ],
)
def test_a_folder_of_any_name_has_a_module(folder: str, module: str, class_name: str) -> None:
    """That hides no other one, and is no test."""
    assert module_of(folder) == module
    assert class_of(module) == class_name


def test_a_class_hides_nothing_that_the_starter_uses() -> None:
    """Whatever its templates import or define."""
    used = set(dir(builtins))
    for path in (PACKAGE / "templates").glob("*.py.in"):
        tree = ast.parse(path.read_text(encoding="utf-8").replace("$", ""))
        for node in tree.body:
            if isinstance(node, ast.ImportFrom):
                used |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ClassDef):
                used.add(node.name)
            elif isinstance(node, ast.Assign):
                used |= {one.id for one in node.targets if isinstance(one, ast.Name)}
    for name in used - {"class_name"}:
        assert class_of(name.lower()) not in used


def test_projects_with_odd_names_can_be_imported(tmp_path: Path) -> None:
    """Each from its folder, before everything else."""
    odd = ["Kühler Ofen", "4k", "class", "random", "logging", "test", "a'b %1", "-x", "send"]
    for name in odd:
        done = python("-m", "lab_utils_mt", "init", "--", name, folder=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
    code = """
import importlib, json, sys
from pathlib import Path
for name, module, class_name in json.loads(sys.argv[1]):
    sys.path.insert(0, str(Path(name).absolute()))
    found = importlib.import_module(module)
    assert Path(found.__file__).parent.samefile(name), found
    getattr(found, class_name)(pid_file_name=module + ".pid", port=0).close()
"""
    cases = [(name, module_of(name), class_of(module_of(name))) for name in odd]
    done = python("-c", code, json.dumps(cases), folder=tmp_path)
    assert done.returncode == 0, done.stderr
