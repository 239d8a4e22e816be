"""A station that provisions one unit: asks for its certificate, writes the device's files, reads them back and confirms.

It can be interrupted anywhere and run again with the same device id: what it is about to ask is on disk before it asks, so that the
repetition has the same request_id and key, gets the same certificate, and spends nothing.

Exit codes: 0 done; 1 refused; 2 flags; 3 a file is missing, or nobody answered in time.
"""

import argparse
import json
import os
import pathlib
import sys
import uuid

from countersign.provisioning.v1 import provisioning_pb2 as messages
from countersign.provisioning.v1 import provisioning_pb2_grpc as services
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from google.protobuf import timestamp_pb2

import calling


def write(path, content, mode=0o644):
    """The file appears whole and durable, or not at all."""
    half = path.with_name(f".{path.name}.new")
    half.unlink(missing_ok=True)
    with open(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(half, path)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def prepare(folder, args, device_id):
    """The request as it is, was and will be asked: ids, lot and CSR, made once and kept beside the device's files."""
    kept = folder / "request.json"
    csr = None if args.csr is None else read_csr(args.csr)
    if kept.exists():
        request = json.loads(kept.read_text())
        asked = x509.load_der_x509_csr(bytes.fromhex(request["csr"]))
        other_key = csr is not None and csr.public_key() != asked.public_key()
        if other_key or args.lot not in (None, request["lot"]):
            raise ValueError(f"{kept} asks with another lot or key; if that was refused, remove it")
        return request
    csr = csr or make_csr(folder / "key.pem", device_id)
    request = {
        "device_id": device_id,
        "lot": args.lot,
        "csr": csr.public_bytes(Encoding.DER).hex(),
        "provision_id": str(uuid.uuid4()),
        "confirm_id": str(uuid.uuid4()),
    }
    if not args.validate_only:
        write(kept, json.dumps(request, indent=2).encode())
    return request


def read_csr(file):
    content = calling.read(file)
    return x509.load_pem_x509_csr(content) if content.startswith(b"-----BEGIN") else x509.load_der_x509_csr(content)


def make_csr(key_file, device_id):
    """A CSR by a P-256 key that never leaves this folder. The CA takes the key from it and nothing else, so it asks for nothing else."""
    if not key_file.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        write(key_file, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
    key = load_pem_private_key(key_file.read_bytes(), password=None)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, device_id)])
    return x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())


def preflight(line, lot, patience):
    """Asks who we are and what is left, and says so."""
    now = timestamp_pb2.Timestamp()
    now.GetCurrentTime()
    seen = calling.call(line.Preflight, messages.PreflightRequest(station_time=now, lot=lot), patience)
    left = seen.tally.remaining if seen.tally.HasField("remaining") else "unlimited"
    print(
        f"{seen.identity} at lot {seen.lot}: {left} units left, clock off by {seen.clock_difference_ms} ms, "
        f"certificate ends in {seen.certificate_days_left} days",
        file=sys.stderr,
    )


def provision(line, request, patience, validate_only=False):
    """The unit. A repetition answers the same one."""
    unit = messages.UnitRequest(
        request_id=request["provision_id"],
        device_id=request["device_id"],
        lot=request["lot"],
        csr=bytes.fromhex(request["csr"]),
    )
    asked = messages.ProvisionRequest(request=unit, validate_only=validate_only)
    return calling.call(line.Provision, asked, patience).unit


def write_device(folder, unit, csr):
    """What goes onto the device: device.pem, and chain.pem with every intermediate. Answers the certificate as read back."""
    chain = [x509.load_der_x509_certificate(der) for der in unit.chain]
    if chain[0].public_key() != csr.public_key():
        raise ValueError(f"the certificate for {unit.device_id} is not for the device's key")
    pem = [certificate.public_bytes(Encoding.PEM) for certificate in chain]
    write(folder / "device.pem", pem[0])
    write(folder / "chain.pem", b"".join(pem))
    return x509.load_pem_x509_certificate((folder / "device.pem").read_bytes())


def confirm(line, request, written, patience):
    """Tells the line what is on the device. Until then the unit is in doubt."""
    confirmation = messages.ConfirmWrittenRequest(
        request_id=request["confirm_id"],
        device_id=request["device_id"],
        certificate_sha256=written.fingerprint(hashes.SHA256()),
    )
    return calling.call(line.ConfirmWritten, confirmation, patience).unit


def run(args):
    # The id is lower-cased here as the line does it, so that one device has one folder.
    device_id = args.device_id.lower()
    folder = args.out / device_id
    folder.mkdir(parents=True, exist_ok=True)
    request = prepare(folder, args, device_id)
    patience = 0 if args.service_config else args.patience
    with calling.open_channel(args.address, args.certificate, args.key, args.ca, args.service_config) as channel:
        line = services.ProvisioningServiceStub(channel)
        if not args.skip_preflight:
            preflight(line, request["lot"], patience)
        if args.validate_only:
            provision(line, request, patience, validate_only=True)
            print(json.dumps({"device_id": device_id, "valid": True}))
            return
        unit = provision(line, request, patience)
        written = write_device(folder, unit, x509.load_der_x509_csr(bytes.fromhex(request["csr"])))
        confirmed = confirm(line, request, written, patience)
    answer = {
        "device_id": confirmed.device_id,
        "lot": confirmed.lot,
        "state": messages.UnitState.Name(confirmed.state).removeprefix("UNIT_STATE_"),
        "generation": confirmed.generation,
        "certificate_serial": f"{written.serial_number:x}",
        "chain": str(folder / "chain.pem"),
    }
    print(json.dumps(answer))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("device_id", help="a DNS label, e.g. sn0000042")
    parser.add_argument("--address", required=True, metavar="HOST:PORT", help="the provisioner's gRPC address")
    parser.add_argument("--certificate", required=True, metavar="FILE", help="the station's service certificate, PEM")
    parser.add_argument("--key", required=True, metavar="FILE", help="its key, PEM")
    parser.add_argument("--ca", required=True, metavar="FILE", help="the manufacturer's service CA, PEM")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("devices"), metavar="DIR", help="where the device's folder goes")
    parser.add_argument("--lot", metavar="ID", help="which lot; the line's current one if not given")
    parser.add_argument("--csr", metavar="FILE", help="the device's own CSR, PEM or DER; without it a key is made here")
    parser.add_argument("--validate-only", action="store_true", help="have it judged: nothing is recorded or spent")
    parser.add_argument("--skip-preflight", action="store_true", help="a shift needs one, not every unit")
    parser.add_argument("--patience", type=float, default=60, metavar="SECONDS", help="how long a call may be repeated")
    parser.add_argument("--service-config", metavar="FILE", help="let gRPC repeat calls by this file, instead of this program")
    return parser.parse_args()


def main():
    try:
        run(arguments())
    except calling.Refusal as refusal:
        print(f"error: {refusal}", file=sys.stderr)
        return 3 if refusal.may_be_repeated() else 1
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
