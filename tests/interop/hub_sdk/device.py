"""Devices on the unmodified azure-iot-device, one after the other: says what each of them saw, one JSON object a line.

Reads {"device", "chain", "key"} (an id and two files) from each line of standard input, and CA (a file) from the environment; the
port is the SDK's own, 8883. After the last word about a device comes {"done"}.
"""

import json
import os
import sys
import threading

from azure.iot.device import X509, IoTHubDeviceClient, Message, MethodResponse, exceptions

PATIENCE = 30


def say(**what):
    print(json.dumps(what), flush=True)


def telemetry(client, body, **properties):
    message = Message(json.dumps(body), content_encoding="utf-8", content_type="application/json")
    message.message_id = "id-%s" % body.get("messageId", "x")
    message.custom_properties.update(properties)
    client.send_message(message)


def run(name, chain, key, ca):
    client = IoTHubDeviceClient.create_from_x509_certificate(
        x509=X509(chain, key),
        hostname="localhost",
        device_id=name,
        server_verification_cert=ca,
        connection_retry=False,
    )
    seen = {what: threading.Event() for what in ("message", "method", "desired")}

    def on_message(message):
        say(message=message.data.decode(), properties=message.custom_properties, message_id=message.message_id)
        seen["message"].set()

    def on_method(request):
        say(method=request.name, payload=request.payload)
        client.send_method_response(MethodResponse.create_from_method_request(request, 202, {"did": request.name}))
        seen["method"].set()

    def on_desired(patch):
        say(desired=patch)
        seen["desired"].set()

    try:
        client.connect()
    except exceptions.ClientError as error:
        say(refused=type(error).__name__, cause=str(error.__cause__))
        client.shutdown()
        return
    say(connected=True)
    client.on_message_received = on_message
    client.on_method_request_received = on_method
    client.on_twin_desired_properties_patch_received = on_desired
    say(twin=client.get_twin())
    client.patch_twin_reported_properties({"level": 3})
    for number, temperature in enumerate((21, 31)):
        alert = "true" if temperature > 30 else "false"
        telemetry(client, {"deviceId": name, "messageId": number, "temperature": temperature}, temperatureAlert=alert)
    telemetry(client, {"ready": True})
    missing = [what for what, event in seen.items() if not event.wait(PATIENCE)]
    say(missing=missing)
    client.shutdown()


def main():
    with open(os.environ["CA"], encoding="ascii") as file:
        ca = file.read()
    for line in sys.stdin:
        case = json.loads(line)
        run(case["device"], case["chain"], case["key"], ca)
        say(done=case["device"])


main()
