"""Calling Countersign's services: a channel over mutual TLS, refusals by name, and calls that are repeated where that is safe."""

import dataclasses
import random
import sys
import time

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

# The domain of every google.rpc.ErrorInfo of these services.
DOMAIN = "countersign"
# One attempt. What was recorded when it ends goes on, and the repetition gets it.
ATTEMPT_SECONDS = 10
# Pauses where no answer names one: they double from the first to the longest.
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
# A status that allows a repetition although it carries no RetryInfo, as when nobody answered at all.
NO_ANSWER = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)

CHANNEL_OPTIONS = [
    # Without these, a channel that could not connect waits up to two minutes before it tries again.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2000),
]


@dataclasses.dataclass(eq=False)
class Refusal(Exception):
    """Why a call was not done. `reason` is a published name, or none where no service of ours answered."""

    code: grpc.StatusCode
    message: str
    reason: str | None = None
    facts: dict = dataclasses.field(default_factory=dict)
    fields: list = dataclasses.field(default_factory=list)
    # Seconds until a repetition makes sense; the services say so exactly where one does.
    retry_after: float | None = None

    @classmethod
    def of(cls, error):
        """Reads the details of a failed call: google.rpc.ErrorInfo, RetryInfo and BadRequest."""
        refusal = cls(error.code(), error.details() or "")
        status = rpc_status.from_call(error)
        for packed in status.details if status else []:
            info, retry, bad = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo(), error_details_pb2.BadRequest()
            if packed.Unpack(info) and info.domain == DOMAIN:
                refusal.reason, refusal.facts = info.reason, dict(info.metadata)
            elif packed.Unpack(retry):
                refusal.retry_after = retry.retry_delay.ToTimedelta().total_seconds()
            elif packed.Unpack(bad):
                refusal.fields = [(wrong.field, wrong.description) for wrong in bad.field_violations]
        return refusal

    def may_be_repeated(self):
        """Whether the same request, with the same request_id, may be sent again as it is."""
        return self.retry_after is not None or self.code in NO_ANSWER

    def __str__(self):
        lines = [f"{self.reason or self.code.name}: {self.message}"]
        lines += [f"  {field}: {what}" for field, what in self.fields]
        if self.reason:
            lines.append(f"  what to do: countersign explain {self.reason}")
        return "\n".join(lines)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def open_channel(address, certificate, key, ca, service_config=None):
    """A channel over mutual TLS 1.3 to host:port, as the holder of a service certificate.

    `ca` holds the service CA of the organisation that runs the service, and nothing else: gRPC takes any certificate below it that
    names the host. With a service config gRPC itself repeats calls as that says; without one it repeats none.
    """
    credentials = grpc.ssl_channel_credentials(root_certificates=read(ca), private_key=read(key), certificate_chain=read(certificate))
    options = CHANNEL_OPTIONS + [("grpc.enable_retries", int(service_config is not None))]
    if service_config is not None:
        options.append(("grpc.service_config", read(service_config).decode()))
    return grpc.secure_channel(address, credentials, options=options)


def call(method, request, patience):
    """Calls until there is an answer, for `patience` seconds; with 0 once. Raises the last Refusal.

    Repeats only what may be repeated. That is safe because every change carries a request_id: the service answers a repetition with
    what the first one did, also when its answer was lost on the way.
    """
    until = time.monotonic() + patience
    pause = FIRST_PAUSE
    while True:
        try:
            return method(request, timeout=ATTEMPT_SECONDS)
        except grpc.RpcError as error:
            refusal = Refusal.of(error)
        told = pause if refusal.retry_after is None else refusal.retry_after
        # Not sooner than told, and not all stations at once.
        wait = told * random.uniform(1.0, 1.5)
        if not refusal.may_be_repeated() or time.monotonic() + wait > until:
            raise refusal
        print(f"again in {wait:.2f} s: {refusal.reason or refusal.code.name}: {refusal.message}", file=sys.stderr, flush=True)
        time.sleep(wait)
        pause = min(pause * 2, LONGEST_PAUSE)
