# SPDX-License-Identifier: GPL-2.0
import pytest
from lab.workloads import truth

START = '{"type": "start", "pid": 7, "process": "main", "time": 10}\n'
PHASE = (
    '{"type": "phase", "pid": 7, "process": "main", "loop": 0, "phase": 0, "begin": 10, '
    '"end": 20, "touches": [{"region": "m", "start": 4096, "end": 8192, "access": "read", '
    '"every": 0, "passes": 3}]}\n'
)


def test_a_killed_workloads_last_line_is_left_out(tmp_path):
    path = tmp_path / "truth"
    path.write_text(START + PHASE + PHASE[:50])
    [process] = truth.read(path).values()
    assert process.begin == 10
    assert process.end is None
    assert len(process.phases) == 1


def test_phase_at(tmp_path):
    path = tmp_path / "truth"
    path.write_text(START + PHASE)
    process = truth.read(path)[7]
    assert process.phase_at(10) is process.phases[0]
    assert process.phase_at(19) is process.phases[0]
    assert process.phase_at(9) is None
    assert process.phase_at(20) is None


@pytest.mark.parametrize("line", ["no json\n", "[]\n", "{}\n", START.replace("start", "x")])
def test_what_is_no_truth_file_is_told_by_line(tmp_path, line):
    path = tmp_path / "truth"
    path.write_text(START + line)
    with pytest.raises(ValueError, match=r"truth:2: not a line of a truth file"):
        truth.read(path)
