// Devices on the unmodified azure-iot-device with PROTOCOL mqtt or amqp, one after the other: says what each of them saw, one JSON
// object a line.
//
// Reads {"device", "chain", "key"} (an id and two files) from each line of standard input; PROTOCOL, CA (a file) and, for another port
// than the protocol's own, PORT from the environment. After the last word about a device comes {"done"}.
'use strict';

const fs = require('fs');
const readline = require('readline');
const { Client, Message } = require('azure-iot-device');

const PATIENCE = 30000;
const { PROTOCOL, CA, PORT } = process.env;
const transport =
  PROTOCOL === 'amqp' ? require('azure-iot-device-amqp').Amqp : require('azure-iot-device-mqtt').Mqtt;

const say = (what) => process.stdout.write(JSON.stringify(what) + '\n');

async function run(device, chain, key) {
  const host = PORT ? `localhost:${PORT}` : 'localhost';
  const client = Client.fromConnectionString(`HostName=${host};DeviceId=${device};x509=true`, transport);
  const read = (file) => fs.readFileSync(file, 'ascii');
  await client.setOptions({ cert: read(chain), key: read(key), ca: read(CA) });
  client.setRetryPolicy({ shouldRetry: () => false, nextRetryTimeout: () => 0 });
  try {
    await client.open();
  } catch (error) {
    say({ refused: error.constructor.name, cause: error.message });
    return;
  }
  say({ connected: true });

  // AMQP names the device for the first time with its first link.
  try {
    for (const [messageId, temperature] of [[0, 21], [1, 31]]) {
      const message = new Message(JSON.stringify({ deviceId: device, messageId, temperature }));
      message.messageId = `id-${messageId}`;
      message.contentType = 'application/json';
      message.contentEncoding = 'utf-8';
      message.properties.add('temperatureAlert', temperature > 30 ? 'true' : 'false');
      await client.sendEvent(message);
    }
  } catch (error) {
    say({ refused: error.constructor.name, cause: error.message });
    return;
  }

  const seen = {};
  const promised = ['message', 'method', 'desired'].map((what) => new Promise((resolve) => (seen[what] = resolve)));
  client.on('message', (message) => {
    const properties = Object.fromEntries(message.properties.propertyList.map(({ key, value }) => [key, value]));
    say({ message: message.getData().toString(), properties, message_id: message.messageId });
    client.complete(message, () => seen.message());
  });
  client.onDeviceMethod('reboot', (request, response) => {
    say({ method: request.methodName, payload: request.payload });
    response.send(202, { did: request.methodName }, () => seen.method());
  });
  const twin = await client.getTwin();
  say({ twin: { desired: twin.properties.desired, reported: { $version: twin.properties.reported.$version } } });
  const before = twin.properties.desired.$version;
  twin.on('properties.desired', (patch) => {
    // The SDK tells at once what is there already.
    if (patch.$version > before) {
      say({ desired: patch });
      seen.desired();
    }
  });
  await new Promise((resolve, reject) =>
    twin.properties.reported.update({ level: 3 }, (error) => (error ? reject(error) : resolve())));

  await client.sendEvent(new Message(JSON.stringify({ ready: true })));
  const late = new Promise((resolve) => setTimeout(() => resolve('late'), PATIENCE).unref());
  const all = await Promise.race([Promise.all(promised), late]);
  say({ missing: all === 'late' ? ['something'] : [] });
  await client.close();
}

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { device, chain, key } = JSON.parse(line);
    await run(device, chain, key);
    say({ done: device });
  }
}

main().then(
  () => process.exit(0),
  (error) => {
    say({ failed: error.constructor.name, cause: error.message });
    process.exit(1);
  },
);
