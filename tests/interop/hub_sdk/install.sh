#!/usr/bin/env bash
# Installs the unmodified device SDKs from PyPI and npm into a folder, unless they are there, and prints what to set so that the hub's
# ignored tests find them:
#   eval "$(bash tests/interop/hub_sdk/install.sh DIR)" && cargo test -p hub -- --ignored sdk
set -euo pipefail

# Pinned, so that a new release of an SDK cannot turn an old commit red.
readonly PYTHON_SDK=azure-iot-device==2.14.0
readonly NODE_SDKS=(azure-iot-device@1.18.4 azure-iot-device-mqtt@1.16.4 azure-iot-device-amqp@1.14.4)
readonly WANTED="$PYTHON_SDK ${NODE_SDKS[*]}"

mkdir -p "$1"
folder=$(cd "$1" && pwd)
if [ "$(cat "$folder/installed" 2>/dev/null)" != "$WANTED" ]; then
    rm -rf "$folder/venv" "$folder/node"
    python3 -m venv "$folder/venv"
    "$folder/venv/bin/pip" install --quiet --disable-pip-version-check "$PYTHON_SDK" >&2
    mkdir "$folder/node"
    npm install --silent --no-fund --no-audit --prefix "$folder/node" "${NODE_SDKS[@]}" >&2
    printf '%s' "$WANTED" >"$folder/installed"
fi
printf 'export HUB_SDK_PYTHON=%q NODE_PATH=%q\n' "$folder/venv/bin/python" "$folder/node/node_modules"
