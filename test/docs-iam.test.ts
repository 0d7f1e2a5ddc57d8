import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** The action that AWS checks for a call, where it is not its name: a batch is so many single calls. */
const ACTION_OF: Readonly<Record<string, string>> = {
  'sqs:SendMessageBatch': 'sqs:SendMessage',
  'sqs:DeleteMessageBatch': 'sqs:DeleteMessage',
  'sqs:ChangeMessageVisibilityBatch': 'sqs:ChangeMessageVisibility',
  's3:CreateMultipartUpload': 's3:PutObject',
  's3:UploadPart': 's3:PutObject',
  's3:CompleteMultipartUpload': 's3:PutObject',
  's3:DeleteObjects': 's3:DeleteObject',
  's3:HeadBucket': 's3:ListBucket',
};
const SERVICES = [
  { client: '@aws-sdk/client-sesv2', service: 'ses' },
  { client: '@aws-sdk/client-s3', service: 's3' },
];
/** What `SesRegion.sendEmail` asks for; it has no command of the SDK. */
const WITHOUT_COMMAND = ['ses:SendEmail', 'ses:SendRawEmail'];
/** A command of the SDK, or an operation that `CallSqs` is given. */
const CALLS = [/new (\w+)Command\(/g, /\bcall\('([A-Z]\w+)'/g];

interface Statement {
  readonly Effect: string;
  readonly Action: string | readonly string[];
  readonly Resource?: string | readonly string[];
}

const document = await readFile(join(ROOT, 'docs/iam.md'), 'utf8');

/** The statements of the policies below a heading. */
function policyOf(heading: string): readonly Statement[] {
  const [, section = ''] = document.split(`## ${heading}\n`);
  const [own = ''] = section.split('\n## ');
  return [...own.matchAll(/```json\n([\s\S]*?)```/g)].flatMap(([, json = '']) => JSON.parse(json).Statement);
}

function actionsOf(heading: string): string[] {
  return policyOf(heading).flatMap(({ Action }) => Action);
}

/** What the sources of the rooms call at AWS, as actions of IAM. */
async function calledActions(): Promise<Set<string>> {
  const names = (await readdir(join(ROOT, 'src'), { recursive: true })).map(name => join('src', name));
  const actions = new Set(WITHOUT_COMMAND);
  for (const name of names.filter(each => each.endsWith('.ts'))) {
    const source = await readFile(join(ROOT, name), 'utf8');
    const service = SERVICES.find(({ client }) => source.includes(client))?.service ?? 'sqs';
    for (const [, call] of CALLS.flatMap(form => [...source.matchAll(form)])) {
      const action = `${service}:${call}`;
      actions.add(ACTION_OF[action] ?? action);
    }
  }
  return actions;
}

describe('docs/iam.md', () => {
  it('allows what the program calls, and nothing else', async () => {
    const documented = ['The relay', 'The worker', 'Object storage', 'People who set domains up'].flatMap(actionsOf);
    assert.deepEqual([...new Set(documented)].sort(), [...(await calledActions())].sort());
  });

  it('has no policy but of its form, and none for everything', () => {
    const policies = [...document.matchAll(/```json\n([\s\S]*?)```/g)].map(([, json = '']) => JSON.parse(json));
    assert.ok(policies.length >= 8);
    for (const { Version, Statement } of policies) {
      assert.equal(Version, '2012-10-17');
      for (const { Effect, Action } of Statement as readonly Statement[]) {
        assert.equal(Effect, 'Allow');
        for (const action of [Action].flat()) assert.match(action, /^(?:sqs|s3|ses|sts):[A-Z]\w+$/);
      }
    }
  });
});
