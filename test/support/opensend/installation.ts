import assert from 'node:assert/strict';
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import nodemailer from 'nodemailer';
import { createDatabase } from '../database.ts';
import { eventually } from '../eventually.ts';
import { sqsEnv } from '../queue.ts';
import { startRelay, type TestContext, type TestRelay } from '../relay.ts';
import { startFakeSes } from '../ses/start.ts';
import { base64, SmtpClient } from '../smtp-client.ts';
import { type OutgoingMail, outgoingMail } from './outgoing.ts';
import { createOpenSendTables } from './tables.ts';
import { OpenSendWorker } from './worker.ts';

export type Mail = Parameters<ReturnType<typeof nodemailer.createTransport>['sendMail']>[0];

/** A relay beside an OpenSend, with its worker and an SES that refuses what AWS documents as refused. */
export interface Installation {
  readonly relay: TestRelay;
  /** Sends with Nodemailer over STARTTLS. @returns the id in the relay's reply */
  send(message: Mail): Promise<string>;
  /** Lets the worker have the message's job, and fails where it is not sent. @returns what SES got */
  deliver(emailId: string): Promise<OutgoingMail>;
}

const DOMAIN = 'acme.test';

/** As a new user sets it up: an empty Postgres; the relay, which waits; then OpenSend's tables, and a key of its dashboard. */
export async function startInstallation(t: TestContext): Promise<Installation> {
  const databaseUrl = await createDatabase(t, { empty: true });
  const apiKey = `os_live_${randomBytes(16).toString('hex')}`;
  const owner = { userId: 'acme', domain: DOMAIN, apiKey, keyId: randomUUID() };
  const relay = await startRelay(t, { shareWith: { databaseUrl, owner } });
  assert.equal(await logIn(t, relay), 454);
  await createOpenSendTables(relay.db);
  await addKey(relay);
  // Ready by itself when the tables are there.
  await eventually(async () => (await logIn(t, relay)) === 235);
  const ses = await startFakeSes(t);
  const queue = { url: String(relay.queue?.url), endpoint: sqsEnv().AWS_ENDPOINT_URL_SQS };
  const worker = new OpenSendWorker({ db: relay.db, ses, queue });
  t.after(async () => worker.close());
  const send = (message: Mail) => sendMail(relay, message);
  const deliver = async (emailId: string) => {
    const delivery = await eventually(async () => (await worker.receive()).find(found => found.emailId === emailId));
    assert.equal(delivery?.outcome, 'sent', String(delivery?.error));
    const message = ses.mailbox.messages.find(({ tags }) => tags['X-Entity-ID'] === emailId);
    assert.ok(message);
    return outgoingMail(message);
  };
  return { relay, send, deliver };
}

/** As OpenSend's dashboard does: the restriction is the domain's id (contract, "API keys"). */
async function addKey({ db, owner }: TestRelay): Promise<void> {
  const domain = [owner.domain, owner.userId];
  const { rows } = await db.query('insert into domains (name, user_id) values ($1, $2) returning id', domain);
  const hash = createHash('sha256').update(owner.apiKey).digest('hex');
  const key = [owner.keyId, hash, rows[0].id, owner.userId];
  await db.query(`insert into api_keys (id, name, token_hash, domain, user_id) values ($1, 'shop', $2, $3, $4)`, key);
}

/** @returns the code of the reply to AUTH */
async function logIn(t: TestContext, relay: TestRelay): Promise<number> {
  const client = await SmtpClient.secured({ after: fn => t.after(async () => fn()) }, relay);
  const { code } = await client.command(`AUTH PLAIN ${base64(`\0apikey\0${relay.owner.apiKey}`)}`, '');
  client.end();
  return code;
}

async function sendMail({ host, port, ca, owner }: TestRelay, message: Mail): Promise<string> {
  const transport = nodemailer.createTransport({
    host,
    port,
    requireTLS: true,
    tls: { ca, servername: 'localhost' },
    auth: { user: 'resend', pass: owner.apiKey },
  });
  const { response } = await transport.sendMail(message);
  transport.close();
  return response.split(' ').at(-1) ?? '';
}
