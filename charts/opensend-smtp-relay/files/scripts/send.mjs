// What `helm test` runs: STARTTLS, log-in, one message; then it waits for the message's row, and where it is delivered here,
// until it has been sent (into the capture, where that is the transport). Before that, where resources are declared, it waits until
// all of them are in force as this pod, which has the newest documents, reads them.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';

const env = process.env;
const require = createRequire(`${env.APP}/package.json`);
const { createTransport } = require('nodemailer');
const withTls = env.TLS === 'true';
const ca = existsSync('/tls/ca.crt') ? readFileSync('/tls/ca.crt') : undefined;
const transport = createTransport({
  host: env.HOST,
  port: Number(env.PORT),
  secure: env.IMPLICIT_TLS === 'true',
  requireTLS: withTls,
  ignoreTLS: !withTls,
  tls: {
    servername: env.SERVER_NAME,
    rejectUnauthorized: env.VERIFY === 'true',
    ...(ca && ca.length > 0 ? { ca } : {}),
  },
  ...(env.API_KEY ? { auth: { user: 'apikey', pass: env.API_KEY } } : {}),
  connectionTimeout: 15_000,
});

if (env.DECLARES === 'true') await waitForDeclared();
await patiently(() => transport.verify());
console.log(
  `${env.HOST}:${env.PORT} greets${withTls ? ', speaks TLS' : ''}${env.API_KEY ? ' and takes the API key' : ''}.`,
);
if (!env.API_KEY) {
  console.log('There is no API key (test.apiKey), so no message was sent.');
} else {
  const message = { from: env.FROM, to: env.TO, subject: 'Sent by helm test', text: 'Sent by helm test.' };
  const { response } = await patiently(() => transport.sendMail(message));
  console.log(response);
  const id = /queued as ([0-9a-f-]{36})/.exec(response)?.[1];
  if (!id) throw new Error('the reply names no message');
  await waitFor(id);
}

/** As clients do: what is refused for now, or cannot be reached, is tried again for a while. */
async function patiently(attempt) {
  const deadline = Date.now() + 45_000;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (error.responseCode >= 500 || Date.now() > deadline) throw error;
      await sleep(2000);
    }
  }
}

async function waitForDeclared() {
  // Running pods are given changed documents a minute after they changed, or a little later.
  const deadline = Date.now() + 80_000;
  for (;;) {
    const { status, stdout, stderr } = spawnSync(process.execPath, [`${env.APP}/src/main.ts`, 'resources', 'diff'], {
      encoding: 'utf8',
    });
    if (status === 0) return console.log('All that is declared is in force.');
    if (Date.now() > deadline) throw new Error(`what is declared is not in force:\n${stdout}${stderr}`);
    await sleep(3000);
  }
}

async function waitFor(id) {
  const deadline = Date.now() + 90_000;
  for (;;) {
    // A database that does not answer just now is asked again.
    const { stdout, stderr } = spawnSync(process.execPath, [`${env.APP}/src/main.ts`, 'emails', 'show', id, '--json'], {
      encoding: 'utf8',
    });
    const told = stdout === '' ? undefined : tell(JSON.parse(stdout));
    if (told) return console.log(told);
    if (Date.now() > deadline) throw new Error(`the message is still on its way: ${stdout}${stderr}`);
    await sleep(1000);
  }
}

/** What became of the message; undefined as long as it is not there. */
function tell({ status, attempts = [] }) {
  if (env.DELIVERS !== 'true') return `The message is stored, with status ${status}.`;
  const sent = attempts.find(attempt => attempt.outcome === 'sent');
  if (sent?.transport === 'simulated')
    return `The message was played, since ${env.TO} is a test address: test.to names another.`;
  return sent && `The message went out by the transport ${sent.transport}, and is ${status}.`;
}
