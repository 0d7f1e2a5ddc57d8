import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import { needs } from '../support/needs.ts';
import { runInProcess } from './run-cli.ts';

async function scriptFor(shell: string): Promise<string> {
  const { code, stdout, stderr } = await runInProcess(['completion', shell], {});
  assert.equal(code, 0, stderr);
  return stdout;
}

/** Runs a shell with a program on its standard input. */
async function runShell(command: string, args: readonly string[], program = ''): Promise<string[]> {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], timeout: 120_000 });
  // One that has its program by an argument may be over before its input is closed.
  child.stdin.on('error', () => {}).end(program);
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  assert.deepEqual([code, stderr], [0, '']);
  return stdout.split('\n').filter(line => line !== '');
}

/** What each shell offers behind the words of a command line, of which the last is not finished. */
const SHELLS = {
  bash: (script: string, words: readonly string[]) =>
    runShell(
      'bash',
      ['--norc', '-s'],
      `${script}\nCOMP_WORDS=(${words.map(word => `'${word}'`).join(' ')})\nCOMP_CWORD=${words.length - 1}\n_smtp_relay\nprintf '%s\\n' "\${COMPREPLY[@]}"\n`,
    ),
  zsh: async (script: string, words: readonly string[]) => {
    const stubs = `compdef() { : }\n_describe() { print -rl -- "\${(@P)2}" }\n_files() { : }\n`;
    const ask = `words=(${words.map(word => `'${word}'`).join(' ')})\nCURRENT=${words.length}\n_smtp_relay\n`;
    const found = await runShell('zsh', ['-f', '-s'], `${stubs}${script}\n${ask}`);
    // The shell itself leaves out what does not fit.
    return found.map(line => line.replace(/:.*/, '')).filter(word => word.startsWith(words.at(-1) ?? ''));
  },
  fish: async (script: string, words: readonly string[]) => {
    const ask = `complete -C '${words.join(' ')}'\n`;
    return (await runShell('fish', ['--no-config', '-c', `${script}\n${ask}`])).map(line => line.replace(/\t.*/, ''));
  },
};

for (const shell of ['bash', 'zsh', 'fish'] as const) {
  describe(`smtp-relay completion ${shell}`, { skip: needs(shell), concurrency: true }, () => {
    const cases: readonly (readonly [words: string[], found: string[]])[] = [
      [['do'], ['doctor', 'domains']],
      [['keys', 'cr'], ['create']],
      [
        ['suppressions', ''],
        ['add', 'export', 'import', 'list', 'remove'],
      ],
      [['keys', 'create', '--dom'], ['--domain']],
      // What an option is given is no command.
      [['keys', 'create', '--owner', 'list', '--dom'], ['--domain']],
      [
        ['doctor', '--role', ''],
        ['all', 'relay', 'worker'],
      ],
      [['completion', '--he'], ['--help']],
    ];
    for (const [words, wanted] of cases) {
      it(`knows what follows "${words.join(' ')}"`, async () => {
        const found = await SHELLS[shell](await scriptFor(shell), ['smtp-relay', ...words]);
        const offered = words.at(-1)?.startsWith('-') ? found : found.filter(word => !word.startsWith('-'));
        assert.deepEqual([...new Set(offered)].sort(), wanted);
      });
    }
  });
}

describe('smtp-relay completion', () => {
  it('knows three shells', async () => {
    const { code, stderr } = await runInProcess(['completion', 'tcsh'], {});
    assert.equal(code, 2);
    assert.match(stderr, /bash, zsh, fish/);
  });
});
