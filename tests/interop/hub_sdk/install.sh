#!/usr/bin/env bash
# Installs the unmodified device SDKs from PyPI and npm into a folder, and prints what to set so that the ignored tests of the hub
# find them: bash tests/interop/hub_sdk/install.sh DIR; then, with what it printed, cargo test -p hub -- --ignored sdk
set -euo pipefail

readonly PYTHON_SDK=azure-iot-device==2.14.0
readonly NODE_SDKS=(azure-iot-device@1.18.4 azure-iot-device-mqtt@1.16.4 azure-iot-device-amqp@1.14.4)

folder=$(mkdir -p "$1" && cd "$1" && pwd)
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "$PYTHON_SDK"
npm install --silent --no-fund --no-audit --prefix "$folder/node" "${NODE_SDKS[@]}"
printf 'export PATH=%s/venv/bin:$PATH NODE_PATH=%s/node/node_modules\n' "$folder" "$folder"
