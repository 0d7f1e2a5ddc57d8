// Gives the demo an owner: a domain, and the API key of the demo's Secret. May run any number of times.
import { spawnSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';

const { APP: app, API_KEY: key, OWNER: owner, DOMAIN: domain } = process.env;
const DEADLINE = Date.now() + 150_000;

function run(...args) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [`${app}/src/main.ts`, ...args], { encoding: 'utf8' });
  return { ok: status === 0, stdout, why: stderr.trim() };
}

async function until(what, attempt) {
  for (;;) {
    const { ok, stdout, why } = attempt();
    if (ok) return stdout;
    if (Date.now() > DEADLINE) throw new Error(`${what}: ${why}`);
    console.log(`${what}: not yet (${why.split('\n')[0]})`);
    await sleep(2000);
  }
}

// The relay makes the schema when it starts.
const keys = JSON.parse(await until('reading the API keys', () => run('keys', 'list', '--owner', owner, '--json')));
await until('adding the domain', () => run('domains', 'add', domain, '--owner', owner));
if (!keys.some(({ preview }) => preview && key.startsWith(preview.replace('…', '')))) {
  await until('adding the API key', () =>
    run('keys', 'create', '--owner', owner, '--name', 'demo', '--domain', domain, '--key', key),
  );
}
console.log(`${owner} may send from ${domain}.`);
