"""A typical application: OpenTelemetry's exporter, OpenInference's attributes, settings from the
environment (`OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, `OTEL_EXPORTER_OTLP_HEADERS`).

`python telemetry_app.py right|wrong` says what the exporter should come to, and prints `{"call": …, "wrong": …}`.
"""

import json
import logging
import sys

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

ANSWERS = ['{"city": "Bern"}', "I do not know", '["a", "b"]']


class Watched(SpanExporter):
    """The real exporter, with the result of each export."""

    def __init__(self) -> None:
        self.real = OTLPSpanExporter()
        self.results: list[SpanExportResult] = []

    def export(self, spans):  # type: ignore[no-untyped-def]
        result = self.real.export(spans)
        self.results.append(result)
        return result

    def shutdown(self) -> None:
        self.real.shutdown()


def main(expected: str) -> None:
    logging.disable(logging.CRITICAL)
    exporter = Watched()
    provider = TracerProvider(resource=Resource({"openinference.project.name": "telemetry"}))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("app")
    for number, answer in enumerate(ANSWERS):
        with tracer.start_as_current_span("ask") as span:
            span.set_attribute("openinference.span.kind", "LLM")
            span.set_attribute("llm.model_name", "small")
            span.set_attribute("input.value", f"question {number}")
            span.set_attribute("output.value", answer)
    provider.shutdown()
    if expected == "right":
        call = "OTLPSpanExporter (OpenTelemetry SDK, OTLP/HTTP, key in OTEL_EXPORTER_OTLP_HEADERS)"
        wanted = [SpanExportResult.SUCCESS] * len(ANSWERS)
    else:
        call = "OTLPSpanExporter, wrong key"
        wanted = [SpanExportResult.FAILURE] * len(ANSWERS)
    wrong = "" if exporter.results == wanted else f"exports ended {exporter.results}"
    sys.stdout.write(json.dumps({"call": call, "wrong": wrong}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
