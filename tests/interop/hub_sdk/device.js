// A device on the unmodified azure-iot-device with PROTOCOL mqtt or amqp: says what it saw, one JSON object a line.
//
// Reads PROTOCOL, DEVICE, CHAIN, KEY and CA (files) from the environment, and for another port than the protocol's own PORT. Exit 0:
// everything was seen; 1: refused; 2: something did not come.
'use strict';

const fs = require('fs');
const { Client, Message } = require('azure-iot-device');

const PATIENCE = 30000;
const { PROTOCOL, DEVICE, CHAIN, KEY, CA, PORT } = process.env;
const transport =
  PROTOCOL === 'amqp' ? require('azure-iot-device-amqp').Amqp : require('azure-iot-device-mqtt').Mqtt;

const say = (what) => process.stdout.write(JSON.stringify(what) + '\n');

async function main() {
  const host = PORT ? `localhost:${PORT}` : 'localhost';
  const client = Client.fromConnectionString(`HostName=${host};DeviceId=${DEVICE};x509=true`, transport);
  await client.setOptions({ cert: fs.readFileSync(CHAIN, 'ascii'), key: fs.readFileSync(KEY, 'ascii'), ca: fs.readFileSync(CA, 'ascii') });
  client.setRetryPolicy({ shouldRetry: () => false, nextRetryTimeout: () => 0 });
  try {
    await client.open();
  } catch (error) {
    say({ refused: error.constructor.name, cause: error.message });
    return 1;
  }
  say({ connected: true });

  // AMQP names the device for the first time with its first link.
  try {
    for (const [messageId, temperature] of [[0, 21], [1, 31]]) {
      const message = new Message(JSON.stringify({ deviceId: DEVICE, messageId, temperature }));
      message.messageId = `id-${messageId}`;
      message.contentType = 'application/json';
      message.contentEncoding = 'utf-8';
      message.properties.add('temperatureAlert', temperature > 30 ? 'true' : 'false');
      await client.sendEvent(message);
    }
  } catch (error) {
    say({ refused: error.constructor.name, cause: error.message });
    return 1;
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
  const missing = (await Promise.race([Promise.all(promised), late])) === 'late';
  say({ missing });
  await client.close();
  return missing ? 2 : 0;
}

main().then(
  (code) => process.exit(code),
  (error) => {
    say({ failed: error.constructor.name, cause: error.message });
    process.exit(1);
  },
);
