// What `helm test` runs where KEDA scales: waits until each ScaledObject is ready, and says why one is not.
import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';

const env = process.env;
const folder = '/var/run/secrets/kubernetes.io/serviceaccount';
const deadline = Date.now() + 90_000;
let failed = false;
for (const name of env.SCALED_OBJECTS.split(',')) {
  const problem = await waitFor(name);
  console.log(problem === '' ? `${name} is scaled by KEDA.` : `ScaledObject ${name} is not ready: ${problem}`);
  failed ||= problem !== '';
}
process.exitCode = failed ? 1 : 0;

/** @returns why it is not ready; empty where it is */
async function waitFor(name) {
  for (;;) {
    const problem = await look(name).catch(error => error.message);
    if (problem === '' || Date.now() > deadline) return problem;
    await sleep(2_000);
  }
}

async function look(name) {
  const { status = {} } = JSON.parse(
    await get(`/apis/keda.sh/v1alpha1/namespaces/${env.NAMESPACE}/scaledobjects/${name}`),
  );
  const ready = (status.conditions ?? []).find(({ type }) => type === 'Ready');
  if (!ready || ready.status === 'Unknown') return 'KEDA has not looked at it: does its operator run?';
  return ready.status === 'True' ? '' : `${ready.reason}: ${ready.message}`;
}

function get(path) {
  const options = {
    host: env.KUBERNETES_SERVICE_HOST,
    port: env.KUBERNETES_SERVICE_PORT,
    path,
    ca: readFileSync(`${folder}/ca.crt`),
    headers: { authorization: `Bearer ${readFileSync(`${folder}/token`, 'utf8')}`, accept: 'application/json' },
    timeout: 10_000,
  };
  return new Promise((resolve, reject) => {
    const call = request(options, async response => {
      let text = '';
      for await (const chunk of response.setEncoding('utf8')) text += chunk;
      if (response.statusCode === 200) return resolve(text);
      reject(new Error(`Kubernetes answers ${response.statusCode}: ${text.slice(0, 300)}`));
    });
    call.on('timeout', () => call.destroy(new Error('Kubernetes does not answer')));
    call.on('error', reject).end();
  });
}
