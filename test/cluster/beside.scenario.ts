import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ReceiveMessageCommand } from '@aws-sdk/client-sqs';
import { makeCertificate } from '../../dev/certificate.ts';
import { sqsClient } from '../../dev/sqs.ts';
import { eventually } from '../support/eventually.ts';
import { createOpenSendTables } from '../support/opensend/tables.ts';
import { installBacking } from './support/backing.ts';
import { checkLedger } from './support/ledger.ts';
import { apply, createNamespace, secret } from './support/namespace.ts';
import { presentedSerial, serverOf, startMailers } from './support/outside.ts';
import { CLIENT, createClient, frugal } from './support/production.ts';
import { Release } from './support/release.ts';

const NAMESPACE = 'smtp-relay-beside';
const TLS_SECRET = 'smtp-tls';

describe('beside an installation of OpenSend', () => {
  it('stores rows and publishes jobs for its worker, and takes up a certificate that is replaced under load', async t => {
    // Freed in reverse.
    await using parts = new AsyncDisposableStack();
    const backing = await installBacking(`${NAMESPACE}-backing`);
    parts.defer(() => backing.remove());
    await createNamespace({ after: fn => parts.defer(fn) }, NAMESPACE);
    const key = await createClient(NAMESPACE);
    const first = await makeCertificate();
    const authority = { ca: first.ca, caKey: first.caKey };
    const put = ({ cert, key: privateKey }: { cert: string; key: string }) =>
      apply(
        NAMESPACE,
        secret(TLS_SECRET, { 'tls.crt': cert, 'tls.key': privateKey, 'ca.crt': first.ca }, 'kubernetes.io/tls'),
      );
    await put(first);

    const release = new Release('mail', NAMESPACE);
    const values = {
      tls: { mode: 'existingSecret', existingSecret: TLS_SECRET },
      config: {
        queueUrl: backing.queueUrl,
        sqsEndpoint: backing.sqsEndpoint,
        awsRegion: 'us-east-1',
        hostname: 'localhost',
      },
      secrets: {
        databaseUrl: { value: backing.databaseUrl },
        awsAccessKeyId: { value: backing.accessKeyId },
        awsSecretAccessKey: { value: backing.secretAccessKey },
      },
      test: { apiKey: { existingSecret: CLIENT.secret }, from: CLIENT.from },
      ...frugal,
    };
    // As an installation of OpenSend has made them.
    await createOpenSendTables(backing.db);
    // A second one on the same database, at the same moment: both migrate.
    const other = new Release('other', NAMESPACE);
    parts.defer(() => other.uninstall());
    parts.defer(() => release.uninstall());
    await Promise.all([release.apply(values), other.apply(values)]);
    assert.deepEqual(await release.podNames('worker'), [], 'theirs delivers');
    // What their dashboard does.
    const hash = createHash('sha256').update(key).digest('hex');
    const row = [hash, key.slice(0, 12), CLIENT.domain, CLIENT.owner];
    await backing.db.query(
      'insert into api_keys (name, token_hash, token_preview, domain, user_id) values ($$app$$, $1, $2, $3, $4)',
      row,
    );
    await backing.db.query("insert into domains (name, status, user_id) values ($1, 'verified', $2)", [
      CLIENT.domain,
      CLIENT.owner,
    ]);
    assert.match(await release.test(), /The message is stored, with status queued\./);

    const server = { ...(await serverOf(release, NAMESPACE, TLS_SECRET)), servername: 'localhost' };
    const pods = await release.podNames('relay');
    const before = await presentedSerial(t, server);
    const mailers = startMailers(server, key);
    try {
      await eventually(() => mailers.accepted > 100, 180_000);
      await put(await makeCertificate({ authority }));
      // The kubelet looks at Secrets about once a minute.
      await eventually(async () => {
        if ((await presentedSerial(t, server)) !== before) return true;
        await sleep(1_000);
        return false;
      }, 150_000);
      const soFar = mailers.accepted;
      await eventually(() => mailers.accepted > soFar + 100, 180_000);
    } finally {
      await mailers.stop();
    }
    const result = await mailers.stop();
    await checkLedger(backing.db, result, { delivered: false });
    assert.deepEqual(await release.podNames('relay'), pods);
    assert.equal(
      await countJobs(backing.localSqsEndpoint(), result.accepted + 1),
      result.accepted + 1,
      'with that of helm test',
    );
  });
});

/** How many send jobs the queue has, one for each message. */
async function countJobs(endpoint: string, expected: number): Promise<number> {
  const client = sqsClient(endpoint);
  const emails = new Set<string>();
  const receive = new ReceiveMessageCommand({
    QueueUrl: `${endpoint}/000000000000/jobs`,
    MaxNumberOfMessages: 10,
    VisibilityTimeout: 600,
    WaitTimeSeconds: 1,
  });
  for (let empty = 0; empty < 10 && emails.size < expected; ) {
    const { Messages: messages = [] } = await client.send(receive);
    empty = messages.length === 0 ? empty + 1 : 0;
    for (const { Body: body } of messages) emails.add(JSON.parse(body ?? '{}').emailId);
  }
  client.destroy();
  return emails.size;
}
